"""Other people's validators on a bundle: signatures and canonical JSON, in-toto and SLSA schemas, SPDX,
NTIA minimum elements, CycloneDX. Usage: validators.py ARCHIVE PUBLIC-KEY. Needs requirements.txt."""

import hashlib
import json
import sys
import tempfile
import zipfile

import rfc8785
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from ntia_conformance_checker import SbomChecker
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

archive, pem = sys.argv[1], open(sys.argv[2], "rb").read()
public = load_pem_public_key(pem)
keyid = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
key = SSlibKey.from_crypto(public, keyid=keyid)
digest = hashlib.sha256(open(archive, "rb").read()).hexdigest()
source = zipfile.ZipFile(archive)

# Envelopes, statements and provenance.
for line in open(archive + ".intoto.jsonl", encoding="utf-8"):
    parsed = json.loads(line)
    assert rfc8785.dumps(parsed) + b"\n" == line.encode(), "an envelope is not canonical"
    envelope = Envelope.from_dict(parsed)
    envelope.verify([key], 1)
    statement = json.loads(envelope.payload)
    assert rfc8785.dumps(statement) == envelope.payload, "a payload is not canonical"
    assert any(subject["digest"]["sha256"] == digest for subject in statement["subject"])
    message = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    if statement["predicateType"] == "https://slsa.dev/provenance/v1":
        predicate = json_format.ParseDict(statement["predicate"], provenance_pb2.Provenance())
        for dependency in predicate.build_definition.resolved_dependencies:
            ResourceDescriptor.copy_from_pb(dependency).validate()
    envelope.payload += b" "
    try:
        envelope.verify([key], 1)
        raise SystemExit("a changed payload was accepted")
    except VerificationError:
        pass
sigstore = open(archive + ".sigstore.json", "rb").read()
assert rfc8785.dumps(json.loads(sigstore)) == sigstore, "the Sigstore bundle is not canonical"
for name in ("META/manifest.json", "META/spdx.json", "META/cyclonedx.json"):
    assert rfc8785.dumps(json.loads(source.read(name))) == source.read(name), f"{name} is not canonical"

# SBOMs.
with tempfile.TemporaryDirectory() as folder:
    path = source.extract("META/spdx.json", folder)
    document = parse_file(path)
    problems = validate_full_spdx_document(document)
    assert not problems, [problem.validation_message for problem in problems]
    checker = SbomChecker(path)
    assert checker.compliant, "the NTIA minimum elements are not there"
text = source.read("META/cyclonedx.json").decode()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
problem = JsonStrictValidator(version).validate_str(text)
assert problem is None, problem
print("validators agree")
