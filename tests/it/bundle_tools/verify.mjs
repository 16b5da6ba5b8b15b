// A verifier of bundles in JavaScript: @sigstore/verify and @sigstore/bundle for the signature of the provenance, Node's own
// crypto for the other envelopes, and an encoder of archives of its own. Needs package.json.
// Usage: node verify.mjs SAMPLES.json, which prints a line for each sample: its folder, and `accepted` or why not.

import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(process.env.PARTITA_NODE_MODULES ? `${process.env.PARTITA_NODE_MODULES}/x.js` : import.meta.url);
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const META = ["META/SHA256SUMS", "META/cyclonedx.json", "META/manifest.json", "META/spdx.json"];
const TYPES = ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3", "https://cyclonedx.org/bom"];

function demand(fact, why) {
  if (!fact) throw new Error(why);
}

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

// RFC 8785 is JavaScript's own way to write JSON, with sorted keys.
function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${written(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

function canonical(bytes) {
  const value = JSON.parse(bytes.toString("utf8"));
  demand(Buffer.from(written(value)).equals(bytes), "JSON is not canonical");
  return value;
}

function decoded(text) {
  const bytes = Buffer.from(text, "base64");
  demand(bytes.toString("base64") === text, "base64 is not canonical");
  return bytes;
}

const TABLE = Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});
const crc32 = (bytes) => (bytes.reduce((crc, byte) => TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;

function numbers(...pairs) {
  const size = pairs.reduce((sum, [width]) => sum + width, 0);
  const out = Buffer.alloc(size);
  let at = 0;
  for (const [width, value] of pairs) at = out.writeUIntLE(value, at, width);
  return out;
}

function archive(data) {
  const entries = [];
  let at = 0;
  while (data.length >= at + 30 && data.readUInt32LE(at) === 0x04034b50) {
    const size = data.readUInt32LE(at + 22);
    const start = at + 30 + data.readUInt16LE(at + 26);
    demand(start + size <= data.length, "an entry is cut");
    const raw = data.subarray(at + 30, start);
    const name = raw.toString("utf8");
    demand(Buffer.from(name).equals(raw) && name.normalize("NFC") === name, "a name is not UTF-8 in NFC");
    demand(META.includes(name) || name.startsWith("out/"), "a name is neither known nor below out/");
    for (const part of name.split("/")) {
      demand(!["", ".", ".."].includes(part) && !/[\\:*?"<>|\x00-\x1f\x7f]|[. ]$/.test(part), "a name is not portable");
      demand(!/^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$/i.test(part), "a name is reserved");
    }
    demand(!entries.length || Buffer.compare(entries.at(-1).raw, raw) < 0, "names are not in order");
    entries.push({ name, raw, offset: at, content: data.subarray(start, start + size) });
    at = start + size;
  }
  demand(new Set(entries.map((entry) => entry.name.toLowerCase())).size === entries.length, "names differ by case only");
  const begin = at;
  const head = [];
  const tail = [];
  for (const entry of entries) {
    demand(data.length >= at + 46, "the directory is cut");
    entry.mode = data.readUInt16LE(at + 40);
    demand(entry.mode === 0o100644 || entry.mode === 0o100755, "a mode is not 644 or 755");
    const size = entry.content.length;
    const flags = entry.raw.every((byte) => byte < 128) ? 0 : 0x800;
    const common = numbers([2, 10], [2, flags], [2, 0], [2, 0], [2, 33], [4, crc32(entry.content)], [4, size], [4, size], [2, entry.raw.length], [2, 0]);
    head.push(Buffer.from("PK\x03\x04"), common, entry.raw, entry.content);
    tail.push(Buffer.from("PK\x01\x02"), numbers([2, 0x030a]), common, Buffer.alloc(6), numbers([2, 0], [2, entry.mode], [4, entry.offset]), entry.raw);
    at += 46 + entry.raw.length;
  }
  const directory = Buffer.concat(tail);
  const end = [Buffer.from("PK\x05\x06"), numbers([2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, directory.length], [4, begin], [2, 0])];
  demand(Buffer.concat([...head, directory, ...end]).equals(data), "the archive is not canonical");
  return entries;
}

function load(file) {
  const key = crypto.createPublicKey(fs.readFileSync(file));
  const der = key.export({ type: "spki", format: "der" });
  return { key, der, keyid: sha256(der) };
}

function sigstore(bytes, keys, first) {
  const parsed = canonical(bytes);
  const { hint } = parsed.verificationMaterial.publicKey;
  const envelope = { ...first, signatures: first.signatures.filter(({ keyid }) => keyid === hint) };
  demand(written(parsed.dsseEnvelope) === written(envelope), "the Sigstore bundle holds another envelope");
  demand(Object.keys(parsed).length === 3, "the Sigstore bundle has other fields");
  const root = TrustedRoot.fromJSON({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [],
  });
  const known = Object.fromEntries(keys.map(({ keyid, der }) => [keyid, { rawBytes: der, validFor: {} }]));
  const none = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0, tsaThreshold: 0 };
  const trust = toTrustMaterial(root, (hint) => {
    demand(known[hint], "the hint names no known key");
    return { publicKey: crypto.createPublicKey({ key: known[hint].rawBytes, format: "der", type: "spki" }), validFor: () => true };
  });
  new Verifier(trust, none).verify(toSignedEntity(bundleFromJSON(parsed)));
}

function verify(folder, sample) {
  const zip = path.join(folder, sample.file);
  const keys = sample.keys.map(load);
  const lines = fs.readFileSync(`${zip}.intoto.jsonl`);
  demand(lines.at(-1) === 10, "the last line does not end");
  const envelopes = [];
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf(10, at);
    envelopes.push(canonical(lines.subarray(at, end)));
    at = end + 1;
  }
  const statements = envelopes.map((envelope) => {
    const { payload, payloadType, signatures } = envelope;
    demand(Object.keys(envelope).length === 3 && payloadType === "application/vnd.in-toto+json", "another envelope");
    const bytes = decoded(payload);
    const message = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${bytes.length} `), bytes]);
    demand(new Set(signatures.map(({ keyid }) => keyid)).size === signatures.length, "a signature is there twice");
    const good = signatures.filter(({ keyid, sig }) => {
      const known = keys.find((key) => key.keyid === keyid);
      if (!known) return false;
      const algorithm = known.key.asymmetricKeyType === "ec" ? "sha256" : null;
      demand(crypto.verify(algorithm, message, known.key, decoded(sig)), "a signature is wrong");
      return true;
    });
    demand(good.length >= sample.threshold, "too few keys signed");
    return canonical(bytes);
  });
  sigstore(fs.readFileSync(`${zip}.sigstore.json`), keys, envelopes[0]);
  demand(TYPES.every((type, at) => statements[at]?.predicateType === type), "an attestation is missing or moved");

  const data = fs.readFileSync(zip);
  const entries = archive(data);
  const content = Object.fromEntries(entries.map((entry) => [entry.name, entry.content]));
  demand(META.every((name) => content[name]), "a document is missing");
  const subject = written([
    { name: sample.file, digest: { sha256: sha256(data) } },
    { name: META[0], digest: { sha256: sha256(content[META[0]]) } },
  ]);
  for (const statement of statements) {
    demand(statement._type === "https://in-toto.io/Statement/v1" && Object.keys(statement).length === 4, "another statement");
    demand(written(statement.subject) === subject, "a statement is about something else");
  }
  const { externalParameters: outside } = statements[0].predicate.buildDefinition;
  const { name, version } = outside.bundle;
  demand(outside.tenant === sample.tenant, "it is another tenant's");
  demand(`${name}-${version}.zip` === sample.file, "it has another name");
  const [found, least] = [version, sample.minimum].map((text) => text.split(".").map(Number));
  const at = found.findIndex((number, index) => number !== least[index]);
  demand(at < 0 || found[at] > least[at], "it is below the minimum");
  demand(statements[0].predicate.runDetails.builder.id === sample.builder, "another builder made it");

  const sums = entries.filter((entry) => entry.name !== META[0]).map((entry) => `${sha256(entry.content)}  ${entry.name}\n`);
  demand(content[META[0]].toString() === sums.join(""), "the list of checksums is wrong");
  const manifest = canonical(content["META/manifest.json"]);
  const files = entries.filter((entry) => entry.name.startsWith("out/"));
  const listed = manifest.files.map((file) => [file.path, file.size, file.mode, file.sha256]);
  const real = files.map((file) => [file.name, file.content.length, `0${(file.mode & 0o777).toString(8)}`, sha256(file.content)]);
  demand(written(listed) === written(real), "the manifest lists other files");
  demand(manifest.root.dirHash1 === sha256(sums.slice(3).join("")), "the content root is wrong");
  const told = [manifest.name, manifest.version, manifest.tenant, manifest.graph];
  demand(written(told) === written([name, version, outside.tenant, outside.graph]), "the manifest differs");
  demand(written(statements[1].predicate) === content["META/spdx.json"].toString(), "the SPDX document differs");
  demand(written(statements[2].predicate) === content["META/cyclonedx.json"].toString(), "the CycloneDX document differs");
}

const samples = process.argv[2];
for (const sample of JSON.parse(fs.readFileSync(samples))) {
  try {
    verify(path.join(path.dirname(samples), sample.dir), sample);
    console.log(sample.dir, "accepted");
  } catch (error) {
    console.log(sample.dir, "refused:", error.message.split("\n")[0]);
  }
}
