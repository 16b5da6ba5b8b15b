"""A second encoder of definitions, static keys, plan digests and action keys, from the written forms
alone: the plan file, the stored manifests, and the descriptions of the encoding in the book. It shares
no code with the first, BLAKE3 included. Leaves out everything that decides what is keyed.

    keys_encoder.py tests/golden      checks every line of keys.txt, and that it knows them all
"""

import base64
import json
import struct
import sys
from pathlib import Path

# --- BLAKE3, from its specification (section numbers are of that paper)

IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
DERIVE_CONTEXT, DERIVE_MATERIAL = 32, 64
CHUNK, BLOCK, WORD = 1024, 64, 0xFFFFFFFF


def compress(chaining, block, counter, length, flags):
    """The eight words of a new chaining value (2.2)."""
    words = list(struct.unpack("<16I", block.ljust(BLOCK, b"\0")))
    state = chaining[:] + IV[:4] + [counter & WORD, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        for word, turns in ((x, (16, 12)), (y, (8, 7))):
            state[a] = (state[a] + state[b] + word) & WORD
            state[d] = turn(state[d] ^ state[a], turns[0])
            state[c] = (state[c] + state[d]) & WORD
            state[b] = turn(state[b] ^ state[c], turns[1])

    def turn(word, by):
        return (word >> by | word << (32 - by)) & WORD

    for _ in range(7):
        for i in range(4):
            mix(i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        words = [words[i] for i in ORDER]
    return [state[i] ^ state[i + 8] for i in range(8)]


def chunk(key, data, counter, flags):
    """What is left to compress of a chunk: its last block (2.4)."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    chaining = key
    for at, block in enumerate(blocks):
        now = flags | (CHUNK_START if at == 0 else 0) | (CHUNK_END if at + 1 == len(blocks) else 0)
        if at + 1 == len(blocks):
            return chaining, block, counter, len(block), now
        chaining = compress(chaining, block, counter, len(block), now)


def subtree(key, data, counter, flags):
    """What is left to compress of a tree: its top (2.1)."""
    if len(data) <= CHUNK:
        return chunk(key, data, counter, flags)
    chunks = (len(data) - 1) // CHUNK
    left = CHUNK << (chunks.bit_length() - 1)
    halves = (subtree(key, data[:left], counter, flags), subtree(key, data[left:], counter + left // CHUNK, flags))
    block = b"".join(struct.pack("<8I", *compress(*half)) for half in halves)
    return key, block, 0, BLOCK, flags | PARENT


def blake3(data, key=None, flags=0):
    chaining, block, counter, length, flags = subtree(key or IV, data, 0, flags)
    return struct.pack("<8I", *compress(chaining, block, counter, length, flags | ROOT))


def derive(context, data):
    key = blake3(context.encode(), flags=DERIVE_CONTEXT)
    return blake3(data, key=list(struct.unpack("<8I", key)), flags=DERIVE_MATERIAL)


# --- canonical bytes


def value(kind, payload):
    return bytes([kind]) + struct.pack("<Q", len(payload)) + payload


def text(string):
    return value(1, string.encode())


def number(integer):
    return value(2, struct.pack("<Q", integer))


def flag(truth):
    return value(3, bytes([truth]))


def digest(raw):
    assert len(raw) == 32
    return value(4, raw)


def sequence(values):
    return value(6, b"".join(values))


def unordered(values):
    return value(7, b"".join(sorted(set(values))))


def mapping(pairs):
    ordered = sorted(pairs.items(), key=lambda pair: pair[0].encode())
    return value(8, b"".join(text(name) + inner for name, inner in ordered))


def texts(strings):
    return sequence([text(string) for string in strings])


def fields(pairs):
    """Fields by rising tag."""
    assert [tag for tag, _ in pairs] == sorted({tag for tag, _ in pairs})
    return b"".join(struct.pack("<H", tag) + inner for tag, inner in pairs)


def tree(entries):
    """One level of a tree; its digest."""
    out = b""
    for name, kind, *rest in sorted(entries, key=lambda entry: entry[0].encode()):
        out += struct.pack("<Q", len(name.encode())) + name.encode()
        if kind in ("f", "x"):
            out += bytes([kind == "x"]) + struct.pack("<Q", rest[1]) + bytes.fromhex(rest[0])
        elif kind == "d":
            out += b"\2" + bytes.fromhex(rest[0])
        else:
            out += b"\3" + struct.pack("<Q", len(rest[0].encode())) + rest[0].encode()
    return derive("partita v1 tree", out)


def of_manifest(form):
    """The written form of a value, encoded."""
    ((kind, payload),) = form.items()
    return {
        "s": lambda: text(payload),
        "i": lambda: number(payload),
        "f": lambda: flag(payload),
        "d": lambda: digest(bytes.fromhex(payload)),
        "b": lambda: value(5, base64.b64decode(payload)),
        "l": lambda: sequence([of_manifest(inner) for inner in payload]),
        "u": lambda: unordered([of_manifest(inner) for inner in payload]),
        "m": lambda: mapping({name: of_manifest(inner) for name, inner in payload}),
        "t": lambda: value(9, tree(payload)),
        "r": lambda: value(9, bytes.fromhex(payload)),
    }[kind]()


# --- a plan file


def program(tool):
    exec_ = tool["exec"]
    return exec_["lookup"] if "lookup" in exec_ else exec_["workspace"].rsplit("/", 1)[-1]


def declared(tool):
    exec_ = tool["exec"]
    name = exec_["lookup"] if "lookup" in exec_ else "./" + exec_["workspace"]
    parts = [text(name), text(tool["version"] or "")]
    if tool["fingerprint"] is not None:
        parts.append(texts(tool["fingerprint"]))
    return sequence(parts)


def port(entry):
    if "workspace" in entry:
        return sequence([text("workspace"), text(entry["workspace"]), flag(entry["optional"])])
    return sequence([text("output"), text(entry["at"]), text(entry["output"]), text(entry["select"] or "")])


def variable(form):
    ((kind, payload),) = form.items()
    return sequence([text(kind), texts(payload) if kind == "list" else text(payload)])


def predicate(item):
    if "path" in item:
        ((kind, payload),) = item["value"].items()
        inner = flag(payload) if kind == "flag" else text(payload)
        return sequence([text("test"), text(item["path"]), text(item["op"]), sequence([text(kind), inner])])
    ((kind, inner),) = item.items()
    return sequence([text(kind)] + [predicate(below) for below in inner])


def definition(action, tools):
    body, kind = action["body"], action["kind"].split("/")[0]
    closure, todo = set(), list(action["tools"])
    while todo:
        name = todo.pop()
        if name not in closure:
            closure.add(name)
            todo += tools[name]["uses"]
    outputs = []
    for output in action["outputs"]:
        parts = [text(output["name"]), text(output["path"]), text(output["kind"])]
        if output["digest"] is not None:
            parts.append(digest(bytes.fromhex(output["digest"])))
        outputs.append(sequence(parts))
    pairs = [(1, number(1)), (2, text(action["kind"])), (3, text(action["class"])), (4, text(action["isolation"]))]
    if kind == "exec":
        pairs += [(10, text(program(tools[body["tool"]]))), (11, texts(body["args"]))]
    if action["cwd"] is not None:
        pairs.append((12, text(action["cwd"])))
    if action["env"]:
        pairs.append((13, mapping({name: text(inner) for name, inner in action["env"].items()})))
    pairs.append((14, unordered([port(entry) for entry in action["inputs"]])))
    pairs.append((15, mapping({program(tools[name]): declared(tools[name]) for name in sorted(closure)})))
    pairs.append((16, unordered(outputs)))
    if kind == "copy":
        pairs.append((20, text(body["from"])))
    elif kind == "write":
        pairs.append((21, text(body["text"])))
    elif kind == "render":
        pairs.append((22, text(body["template"])))
        pairs.append((23, mapping({name: variable(form) for name, form in body["vars"].items()})))
    elif kind == "merge-json":
        pairs.append((24, texts(body["from"])))
    elif kind == "gate":
        subjects = [texts([item["name"], item["reads"], *item["at"]]) for item in body["subjects"]]
        pairs.append((30, unordered(subjects)))
        pairs.append((31, sequence([predicate(item) for item in body["require"]])))
    elif kind == "approval":
        asked = body["approval"]
        parts = [text(asked["group"]), number(asked["min"]), flag(asked["distinct"])]
        parts += [number(2**64 - 1 if asked["expires_ms"] is None else asked["expires_ms"]), flag(asked["by_name"])]
        if asked["members"] is not None:
            people = [texts([member["name"], member["key"] or "", member["email"] or ""]) for member in asked["members"]]
            parts.append(sequence(people))
        pairs.append((32, sequence(parts)))
    fitting = {output["name"]: digest(bytes.fromhex(output["schema"])) for output in action["outputs"] if "schema" in output}
    if fitting:
        pairs.append((35, mapping(fitting)))
    return derive("partita v1 def", fields(pairs))


def static_key(addr, actions, defs, known):
    if addr not in known:
        ports = []
        for entry in actions[addr]["inputs"]:
            if "from" not in entry:
                continue
            producer = actions[entry["from"]]
            promised = [output["digest"] for output in producer["outputs"] if output["name"] == entry["output"]][0]
            if producer["class"] == "fixed" and promised is not None:
                behind = bytes.fromhex(promised)
            else:
                behind = static_key(entry["from"], actions, defs, known)
            ports.append(
                sequence([text(entry["at"]), text(entry["select"] or ""), text(entry["output"]), digest(behind)])
            )
        pairs = [(1, digest(defs[addr])), (2, unordered(ports))]
        known[addr] = derive("partita v1 static key", fields(pairs))
    return known[addr]


def plan_digest(header, actions, keys):
    lines = []
    for addr, action in actions.items():
        parts = {"addr": text(addr), "skey": digest(keys[addr]), "after": texts(action["after"])}
        if action["holds"]:
            parts["holds"] = mapping({pool: number(amount) for pool, amount in action["holds"].items()})
        if action["timeout_ms"] is not None:
            parts["timeout_ms"] = number(action["timeout_ms"])
        if action["retry"] is not None:
            parts["retry"] = text(action["retry"])
        if action["gate"] is not None:
            gate = action["gate"]
            messages = texts([message or "" for message in gate["messages"]])
            parts["gate"] = sequence([text(gate["name"]), text(gate["kind"]), text(gate["concern"]), messages])
        if action["automation"] is not None:
            parts["automation"] = text(action["automation"])
        lines.append(mapping(parts))
    pairs = [(1, text(header["graph"])), (2, sequence(lines))]
    pairs.append((3, mapping({pool: number(capacity) for pool, capacity in header["pools"].items()})))
    if header["concurrency"] is not None:
        pairs.append((4, number(header["concurrency"])))
    tools = {}
    for tool in header["tools"]:
        parts = {"identity": declared(tool), "uses": texts(tool["uses"]), "pass_env": texts(tool["pass_env"])}
        parts["supplier"] = text(tool["supplier"] or "")
        tools[tool["name"]] = mapping(parts)
    pairs.append((5, mapping(tools)))
    if "schemas" in header:
        for name, schema in header["schemas"].items():
            assert blake3(schema["text"].encode()).hex() == name, name
        pairs.append((10, mapping({name: text(schema["path"]) for name, schema in header["schemas"].items()})))
    return derive("partita v1 plan", fields(pairs))


def main(golden):
    # From the published test vectors of BLAKE3: lengths 0, 1 and 5121 of the repeating pattern.
    pattern = bytes(i % 251 for i in range(5121))
    assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3(pattern[:1]).hex() == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"
    assert blake3(pattern).hex() == "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"

    header, *lines = [json.loads(line) for line in (golden / "plan/keys.jsonl").read_text().splitlines()]
    tools = {tool["name"]: tool for tool in header["tools"]}
    actions = {line["addr"]: line for line in lines}
    assert list(actions) == sorted(actions) and len(actions) == header["actions"]
    found = {}
    defs = {addr: definition(action, tools) for addr, action in actions.items()}
    keys = {}
    for addr, action in actions.items():
        found["def", addr] = defs[addr].hex()
        found["skey", addr] = static_key(addr, actions, defs, keys).hex()
        assert action["def"] == found["def", addr] and action["skey"] == found["skey", addr], addr
    found["plan", header["graph"]] = plan_digest(header, actions, keys).hex()
    assert header["digest"] == found["plan", header["graph"]]
    for line in (golden / "plan/manifests.jsonl").read_text().splitlines():
        item = json.loads(line)
        pairs = [(field["t"], of_manifest(field["v"])) for field in item["manifest"]]
        for field in item["manifest"]:
            ((kind, payload),) = field["v"].items()
            if kind == "t":
                found["tree", item["label"]] = tree(payload).hex()
            elif kind == "r":
                found["tree", item["label"]] = payload
        raw = derive("partita v1 action key", fields(pairs))
        found["key", item["label"]] = "pk1-" + base64.b32encode(raw).decode().rstrip("=").lower()
    frozen = {}
    for line in (golden / "keys.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            what, label, expected = line.split()
            frozen[what, label] = expected
    faults = [name for name in sorted(frozen.keys() | found.keys()) if frozen.get(name) != found.get(name)]
    for name in faults:
        print(f"{' '.join(name)}: frozen {frozen.get(name)}, encoded {found.get(name)}")
    print(f"{len(frozen)} vectors, {len(faults)} differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
