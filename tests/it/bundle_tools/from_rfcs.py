"""A verifier of bundles from the specifications alone: RFC 8032 and FIPS 186-5 signatures, RFC 8785, DSSE, in-toto, and
the archive's layout, with nothing but Python's own hashes and numbers. Slow, and short enough to be read.
Usage: from_rfcs.py SAMPLES.json, which prints a line for each sample: its folder, and `accepted` or why not."""

import base64
import hashlib
import json
import re
import struct
import sys
import unicodedata
import zlib
from pathlib import Path


class Refused(Exception):
    pass


def demand(fact, why):
    if not fact:
        raise Refused(why)


# --- Ed25519 (RFC 8032, section 6), strict about encodings
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    demand(y < P, "a point is not reduced")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    demand((x * x - x2) % P == 0 and not (x == 0 and sign), "a point is not on the curve")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public, message, signature):
    if len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    a, r = point(public), point(signature[:32])
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(k, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


# --- ECDSA over P-256 (FIPS 186-5)
Q = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def plus(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % Q == 0:
            return None
        slope = 3 * (p[0] * p[0] - 1) * pow(2 * p[1], -1, Q)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, Q)
    x = (slope * slope - p[0] - q[0]) % Q
    return x, (slope * (p[0] - x) - p[1]) % Q


def multiple(n, p):
    total = None
    while n:
        if n & 1:
            total = plus(total, p)
        p, n = plus(p, p), n >> 1
    return total


def p256(public, message, signature):
    def number(at):
        demand(signature[at] == 2, "a signature is not DER")
        end = at + 2 + signature[at + 1]
        return int.from_bytes(signature[at + 2 : end], "big"), end

    r, at = number(2)
    s, at = number(at)
    if signature[0] != 0x30 or at != len(signature) or not (0 < r < N and 0 < s < N):
        return False
    w = pow(s, -1, N)
    h = int.from_bytes(hashlib.sha256(message).digest(), "big")
    key = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
    found = plus(multiple(h * w % N, G), multiple(r * w % N, key))
    return found is not None and found[0] % N == r


def load(pem):
    der = base64.b64decode("".join(pem.split("-----")[2].split()))
    prefix, verify, size = (der[:12], ed25519, 32) if len(der) == 44 else (der[:26], p256, 65)
    assert prefix.hex() in ("302a300506032b6570032100", "3059301306072a8648ce3d020106082a8648ce3d030107034200")
    return hashlib.sha256(der).hexdigest(), verify, der[-size:]


# --- canonical JSON: what is read is written again and compared
def canonical(data):
    try:
        value = json.loads(data.decode())
    except ValueError as error:
        raise Refused(f"no JSON: {error}")
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    demand(text.encode() == data, "JSON is not canonical")
    return value


# --- the archive, front to back
RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$")
META = ["META/SHA256SUMS", "META/cyclonedx.json", "META/manifest.json", "META/spdx.json"]


def check_name(name):
    demand(unicodedata.normalize("NFC", name) == name, "a name is not NFC")
    demand(name in META or name.startswith("out/"), "a name is neither known nor below out/")
    for part in name.split("/"):
        demand(part not in ("", ".", "..") and not RESERVED.match(part), "a name is not portable")
        demand(not re.search(r'[\\:*?"<>|\x00-\x1f\x7f]', part) and part[-1] not in ". ", "a name is not portable")


def archive(data):
    entries, at = [], 0
    while data[at : at + 4] == b"PK\3\4":
        head = data[at : at + 30]
        demand(len(head) == 30, "a header is cut")
        _, _, flags, method, time, date, crc, size, size2, name_length, extra = struct.unpack("<4sHHHHHIIIHH", head)
        name = data[at + 30 : at + 30 + name_length]
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise Refused("a name is not UTF-8")
        check_name(text)
        content = data[at + 30 + name_length : at + 30 + name_length + size]
        demand(len(content) == size == size2 and zlib.crc32(content) == crc, "size or CRC-32 is wrong")
        entries.append((text, content, at))
        at += 30 + name_length + size
    names = [name for name, _, _ in entries]
    demand(sorted(names, key=str.encode) == names and len(set(names)) == len(names), "names are not in order")
    demand(len({name.casefold() for name in names}) == len(names), "names differ by case only")
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    demand(not folders & set(names), "a name is a file and a folder")
    # Now write all of it again.
    out, directory, found, start = b"", b"", [], at
    for name, content, offset in entries:
        encoded = name.encode()
        mode = struct.unpack("<I", data[at + 38 : at + 42].ljust(4, b"\0"))[0] >> 16
        demand(mode in (0o100644, 0o100755), "a mode is not 644 or 755")
        flags = 0 if encoded.isascii() else 0x800
        common = struct.pack("<HHHHHIIIHH", 10, flags, 0, 0, 33, zlib.crc32(content), len(content), len(content), len(encoded), 0)
        out += b"PK\3\4" + common + encoded + content
        entry = b"PK\1\2" + struct.pack("<H", 0x030A) + common + bytes(6) + struct.pack("<II", mode << 16, offset) + encoded
        directory += entry
        at += len(entry)
        found.append((name, content, mode))
    count = len(entries)
    out += directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)
    demand(out == data, "the archive is not canonical")
    return found


def verify(folder, sample):
    zip_path = folder / sample["file"]
    keys = {}
    for path in sample["keys"]:
        keyid, check, public = load(Path(path).read_text())
        keys[keyid] = (check, public)
    lines = Path(f"{zip_path}.intoto.jsonl").read_bytes()
    demand(lines.endswith(b"\n"), "the last line does not end")
    statements, first = [], None
    for line in lines[:-1].split(b"\n"):
        envelope = canonical(line)
        first = first or envelope
        demand(sorted(envelope) == ["payload", "payloadType", "signatures"], "an envelope has other fields")
        demand(envelope["payloadType"] == "application/vnd.in-toto+json", "the payload is of another type")
        payload = base64.b64decode(envelope["payload"], validate=True)
        demand(base64.b64encode(payload).decode() == envelope["payload"], "base64 is not canonical")
        kind = envelope["payloadType"].encode()
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        signed, seen = set(), set()
        for signature in envelope["signatures"]:
            demand(sorted(signature) == ["keyid", "sig"] and signature["keyid"] not in seen, "a signature is there twice")
            seen.add(signature["keyid"])
            if signature["keyid"] in keys:
                check, public = keys[signature["keyid"]]
                raw = base64.b64decode(signature["sig"], validate=True)
                demand(base64.b64encode(raw).decode() == signature["sig"], "base64 is not canonical")
                demand(check(public, message, raw), "a signature is wrong")
                signed.add(signature["keyid"])
        demand(len(signed) >= sample["threshold"], "too few keys signed")
        statements.append(canonical(payload))
    sigstore = canonical(Path(f"{zip_path}.sigstore.json").read_bytes())
    hint = sigstore["verificationMaterial"]["publicKey"]["hint"]
    first = dict(first, signatures=[signature for signature in first["signatures"] if signature["keyid"] == hint])
    demand(hint in keys, "the hint names no known key")
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    demand(sigstore == {"dsseEnvelope": first, "mediaType": media, "verificationMaterial": material}, "the Sigstore bundle differs")

    types = [statement["predicateType"] for statement in statements]
    wanted = ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3", "https://cyclonedx.org/bom"]
    demand(types[:3] == wanted, "an attestation is missing or moved")
    data = zip_path.read_bytes()
    entries = archive(data)
    content = {name: bytes_ for name, bytes_, _ in entries}
    demand(all(name in content for name in META), "a document is missing")
    subjects = [
        {"name": sample["file"], "digest": {"sha256": hashlib.sha256(data).hexdigest()}},
        {"name": META[0], "digest": {"sha256": hashlib.sha256(content[META[0]]).hexdigest()}},
    ]
    for statement in statements:
        demand(sorted(statement) == ["_type", "predicate", "predicateType", "subject"], "a statement has other fields")
        demand(statement["_type"] == "https://in-toto.io/Statement/v1", "a statement is of another type")
        demand(statement["subject"] == subjects, "a statement is about something else")
    outside = statements[0]["predicate"]["buildDefinition"]["externalParameters"]
    demand(outside["tenant"] == sample["tenant"], "it is another tenant's")
    bundle = outside["bundle"]
    demand(f"{bundle['name']}-{bundle['version']}.zip" == sample["file"], "it has another name")
    number = lambda text: [int(part) for part in text.split(".")]
    demand(number(bundle["version"]) >= number(sample["minimum"]), "it is below the minimum")
    demand(statements[0]["predicate"]["runDetails"]["builder"]["id"] == sample["builder"], "another builder made it")

    digest = {name: hashlib.sha256(bytes_).hexdigest() for name, bytes_, _ in entries}
    sums = "".join(f"{digest[name]}  {name}\n" for name, _, _ in entries if name != META[0])
    demand(content[META[0]] == sums.encode(), "the list of checksums is wrong")
    manifest = canonical(content["META/manifest.json"])
    files = [
        {"mode": f"0{mode & 0o777:o}", "path": name, "sha256": digest[name], "size": len(bytes_)}
        for name, bytes_, mode in entries
        if name.startswith("out/")
    ]
    listed = [{key: value for key, value in file.items() if key != "blake3"} for file in manifest["files"]]
    demand(listed == files, "the manifest lists other files")
    root = hashlib.sha256("".join(f"{file['sha256']}  {file['path']}\n" for file in files).encode()).hexdigest()
    demand(manifest["root"] == {"dirHash1": root}, "the content root is wrong")
    told = (manifest["name"], manifest["version"], manifest["tenant"], manifest["graph"])
    demand(told == (bundle["name"], bundle["version"], outside["tenant"], outside["graph"]), "the manifest differs")
    demand(statements[1]["predicate"] == canonical(content["META/spdx.json"]), "the SPDX document differs")
    demand(statements[2]["predicate"] == canonical(content["META/cyclonedx.json"]), "the CycloneDX document differs")


if __name__ == "__main__":
    samples = Path(sys.argv[1])
    for sample in json.loads(samples.read_text()):
        try:
            verify(samples.parent / sample["dir"], sample)
            print(sample["dir"], "accepted")
        except (Refused, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
            print(sample["dir"], "refused:", type(error).__name__, error)
