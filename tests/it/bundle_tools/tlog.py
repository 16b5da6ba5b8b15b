"""Checks a log of static files and the proof beside a bundle: a second implementation of C2SP's tiles,
checkpoint and proof. Usage: tlog.py LOG-DIR ARCHIVE VERIFIER-KEY"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

log, archive, vkey = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
name, key_id, encoded = vkey.split("+", 2)
raw = base64.b64decode(encoded)
assert raw[0] == 1
assert hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
public = Ed25519PublicKey.from_public_bytes(raw[1:])


def opened(note):
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    line = next(line for line in signatures.splitlines() if line.startswith(f"\u2014 {name} "))
    signature = base64.b64decode(line.split(" ")[2])
    assert signature[:4].hex() == key_id
    public.verify(signature[4:], text.encode())
    origin, size, root = text.splitlines()
    assert origin == name
    return int(size), base64.b64decode(root)


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def tree(leaves):
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\1" + tree(leaves[:half]) + tree(leaves[half:])).digest()


size, root = opened((log / "checkpoint").read_text())
assert size < 256, "this small check reads one partial tile"
entries, data = [], (log / f"tile/entries/000.p/{size}").read_bytes()
while data:
    length = int.from_bytes(data[:2], "big")
    entries.append(data[2 : 2 + length])
    data = data[2 + length :]
leaves = [leaf(entry) for entry in entries]
assert len(leaves) == size and tree(leaves) == root
assert b"".join(leaves) == (log / f"tile/0/000.p/{size}").read_bytes()

envelope = json.loads(Path(f"{archive}.intoto.jsonl").read_text().splitlines()[0])
entry = json.dumps(
    {
        "archive": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "keyids": [signature["keyid"] for signature in envelope["signatures"]],
        "provenance": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
        "schema": "https://partita.example/schemas/log-entry/v1",
    },
    separators=(",", ":"),
    sort_keys=True,
).encode()
head, note = Path(f"{archive}.tlog-proof").read_text().split("\n\n", 1)
lines = head.splitlines()
assert lines[0] == "c2sp.org/tlog-proof@v1"
index = int(lines[1].removeprefix("index "))
assert entries[index] == entry, "the entry is not that of the bundle"
size, root = opened(note)


def climb(found, at, count, path):
    if count == 1:
        assert not path
        return found
    half = 1
    while half * 2 < count:
        half *= 2
    *rest, other = path
    if at < half:
        return hashlib.sha256(b"\1" + climb(found, at, half, rest) + other).digest()
    return hashlib.sha256(b"\1" + other + climb(found, at - half, count - half, rest)).digest()


assert climb(leaf(entry), index, size, [base64.b64decode(line) for line in lines[2:]]) == root
print(f"entry {index} of {size}")
