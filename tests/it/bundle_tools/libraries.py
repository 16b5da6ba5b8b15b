"""A verifier of bundles from other makers' libraries: securesystemslib for envelopes, in-toto-attestation for statements,
rfc8785 for canonical JSON, cyclonedx and Python's zipfile, which encodes the archive again. Needs requirements.txt.
Usage: libraries.py SAMPLES.json, which prints a line for each sample: its folder, and `accepted` or why not."""

import base64
import hashlib
import io
import json
import sys
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import rfc8785
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import SSlibKey

META = ["META/SHA256SUMS", "META/cyclonedx.json", "META/manifest.json", "META/spdx.json"]
TYPES = ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3", "https://cyclonedx.org/bom"]


def canonical(data):
    value = json.loads(data)
    assert rfc8785.dumps(value) == data, "JSON is not canonical"
    return value


def load(path):
    public = load_pem_public_key(Path(path).read_bytes())
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())


def envelopes(path, keys, threshold):
    data = path.read_bytes()
    assert data.endswith(b"\n"), "the last line does not end"
    for line in data[:-1].split(b"\n"):
        parsed = canonical(line)
        ids = [signature["keyid"] for signature in parsed["signatures"]]
        assert len(set(ids)) == len(ids), "a signature is there twice"
        for text in [parsed["payload"], *(signature["sig"] for signature in parsed["signatures"])]:
            assert base64.b64encode(base64.b64decode(text, validate=True)).decode() == text, "base64 is not canonical"
        envelope = Envelope.from_dict(json.loads(line))
        assert envelope.payload_type == "application/vnd.in-toto+json", "the payload is of another type"
        envelope.verify(keys, threshold)
        for key in keys:
            if key.keyid in envelope.signatures:
                key.verify_signature(envelope.signatures[key.keyid], envelope.pae())
        statement = canonical(envelope.payload)
        Statement.copy_from_pb(json_format.ParseDict(statement, statement_pb2.Statement())).validate()
        yield parsed, statement


def archive(data):
    source = zipfile.ZipFile(io.BytesIO(data))
    infos = source.infolist()
    names = [info.filename for info in infos]
    assert names == sorted(set(names), key=str.encode), "names are not in order"
    assert len({name.casefold() for name in names}) == len(names), "names differ by case only"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for info in infos:
            name = info.filename
            path = PurePosixPath(name)
            assert str(path) == name and ".." not in path.parts and (name in META or path.parts[0] == "out"), "a bad name"
            assert unicodedata.normalize("NFC", name) == name and "\\" not in name, "a bad name"
            assert not any(PureWindowsPath(part).is_reserved() or ":" in part for part in path.parts), "a reserved name"
            assert info.external_attr in (0o100644 << 16, 0o100755 << 16), "a mode is not 644 or 755"
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.create_version = entry.extract_version = 10
            entry.external_attr = info.external_attr
            target.writestr(entry, source.read(info))
    assert out.getvalue() == data, "the archive is not canonical"
    return [(info.filename, source.read(info), info.external_attr >> 16) for info in infos]


def verify(folder, sample):
    zip_path = folder / sample["file"]
    keys = [load(path) for path in sample["keys"]]
    found = list(envelopes(Path(f"{zip_path}.intoto.jsonl"), keys, sample["threshold"]))
    statements = [statement for _, statement in found]
    assert [statement["predicateType"] for statement in statements][:3] == TYPES, "an attestation is missing or moved"
    first = found[0][0]
    sigstore = canonical(Path(f"{zip_path}.sigstore.json").read_bytes())
    hint = sigstore["verificationMaterial"]["publicKey"]["hint"]
    first["signatures"] = [signature for signature in first["signatures"] if signature["keyid"] == hint]
    assert sigstore["dsseEnvelope"] == first and set(sigstore) == {"dsseEnvelope", "mediaType", "verificationMaterial"}
    assert sigstore["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json", "another media type"
    assert hint in [key.keyid for key in keys] and len(first["signatures"]) == 1, "the hint names no known key"

    data = zip_path.read_bytes()
    subjects = {subject["name"]: subject["digest"] for subject in statements[0]["subject"]}
    assert subjects[sample["file"]] == {"sha256": hashlib.sha256(data).hexdigest()}, "another archive was signed"
    assert all(statement["subject"] == statements[0]["subject"] for statement in statements), "subjects differ"
    entries = archive(data)
    content = {name: bytes_ for name, bytes_, _ in entries}
    sums = content.pop("META/SHA256SUMS")
    assert subjects["META/SHA256SUMS"] == {"sha256": hashlib.sha256(sums).hexdigest()}, "another list was signed"
    assert sums.decode() == "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in content)

    provenance = statements[0]["predicate"]
    json_format.ParseDict(provenance, provenance_pb2.Provenance())
    outside = provenance["buildDefinition"]["externalParameters"]
    bundle = outside["bundle"]
    assert outside["tenant"] == sample["tenant"], "it is another tenant's"
    assert f"{bundle['name']}-{bundle['version']}.zip" == sample["file"], "it has another name"
    assert tuple(map(int, bundle["version"].split("."))) >= tuple(map(int, sample["minimum"].split("."))), "it is too old"
    assert provenance["runDetails"]["builder"]["id"] == sample["builder"], "another builder made it"
    manifest = canonical(content["META/manifest.json"])
    assert all(manifest[field] == bundle[field] for field in ("name", "version")), "the manifest differs"
    assert manifest["tenant"] == outside["tenant"] and manifest["graph"] == outside["graph"], "the manifest differs"
    files = [
        (name, len(bytes_), f"0{mode & 0o777:o}", hashlib.sha256(bytes_).hexdigest())
        for name, bytes_, mode in entries
        if name.startswith("out/")
    ]
    assert [(it["path"], it["size"], it["mode"], it["sha256"]) for it in manifest["files"]] == files, "other files"
    lines = "".join(f"{sha256}  {name}\n" for name, _, _, sha256 in files)
    assert manifest["root"]["dirHash1"] == hashlib.sha256(lines.encode()).hexdigest(), "the content root is wrong"
    for at, name in [(1, "META/spdx.json"), (2, "META/cyclonedx.json")]:
        assert rfc8785.dumps(statements[at]["predicate"]) == content[name], f"{name} is not the attestation"


samples = Path(sys.argv[1])
for sample in json.loads(samples.read_text()):
    try:
        verify(samples.parent / sample["dir"], sample)
        print(sample["dir"], "accepted")
    except (
        AssertionError, KeyError, IndexError, TypeError, ValueError, NotImplementedError, RuntimeError, OSError,
        zipfile.BadZipFile, VerificationError, UnverifiedSignatureError, json_format.ParseError,
    ) as error:
        print(sample["dir"], "refused:", type(error).__name__, error)
