"""Suites about size and waiting: a layered graph with early cutoff, outputs that come back, isolation, 100,000
actions of which nothing changed, and many short tasks. Leaves out timing (`measure`) and the suites of `suites`.
"""

import random
import shutil
import subprocess

from bazel import Bazel, filegroup, genrule
from measure import Failed, set_aside
from suites import Partita, Peer, rotated, sources

STEP = r"""
#include <stdio.h>
#include <stdint.h>
/* step OUT IN...: writes a digest of each input up to its first `#`. */
int main(int argc, char **argv) {
  uint64_t sum = 1469598103934665603u;
  for (int i = 2; i < argc; i++) {
    FILE *in = fopen(argv[i], "r");
    if (!in) return 1;
    for (int c; (c = getc(in)) != EOF && c != '#';) sum = (sum ^ (uint64_t)c) * 1099511628211u;
    fclose(in);
  }
  FILE *out = fopen(argv[1], "w");
  if (!out) return 1;
  fprintf(out, "%016llx\n", (unsigned long long)sum);
  return fclose(out) ? 1 : 0;
}
"""

LAYERS = 100


def layered(program, stopwatch, work, results, count, rounds, jobs):
    """`count` actions in 100 layers; each but those of the first takes in three of the layer below."""
    suite = f"layered, {count}"
    width = count // LAYERS
    chance = random.Random(7)
    above = {
        (layer, at): [(layer - 1, chance.randrange(width)) for _ in range(3)] if layer else []
        for layer in range(LAYERS) for at in range(width)
    }
    names = [f"s{at:04}" for at in range(width)]
    folders = {name: work / f"layered-{count}-{name}" for name in ["partita", "ninja", "ninja restat"]}
    for folder in folders.values():
        sources(folder, names)
        (folder / "step.c").write_text(STEP)
        (folder / "tools").mkdir()
        subprocess.run(["gcc", "-O2", "-static", "-o", folder / "tools/step", folder / "step.c"], check=True)
        for name in names:
            (folder / "in" / name).write_text(f"{name} # 0\n")
    nodes = []
    for (layer, at), below in above.items():
        name = f"n{layer:02}-{at:04}"
        takes = [f"n{b:02}-{a:04}" for b, a in dict.fromkeys(below)]
        inputs = "".join(f"        input \"{one}\" from=(ref){one}.o\n" for one in takes)
        inputs = inputs or f"        input \"in/{names[at]}\"\n"
        words = " ".join(f'"{one}"' for one in takes) or f'"in/{names[at]}"'
        nodes.append(f"    node {name} {{\n{inputs}        run step o {words}\n        output o\n    }}\n")
    (folders["partita"] / "partita.kdl").write_text(
        'partita edition=1\n\ntool step { exec "./tools/step"; }\n\ngraph g {\n' + "".join(nodes) + "}\n"
    )
    edges = "".join(
        f"build out/n{layer:02}-{at:04}: step "
        + (" ".join(f"out/n{b:02}-{a:04}" for b, a in dict.fromkeys(below)) or f"in/{names[at]}") + "\n"
        for (layer, at), below in above.items()
    )
    rule = "rule step\n  command = tools/step $out $in\n"
    (folders["ninja"] / "build.ninja").write_text(rule + edges)
    # Writes an output anew only if it is otherwise: what restat needs.
    kept = "tools/step $out.new $in && if cmp -s $out.new $out; then rm $out.new; else mv $out.new $out; fi"
    (folders["ninja restat"] / "build.ninja").write_text(f"rule step\n  command = {kept}\n  restat = 1\n" + edges)
    tools = {"partita": Partita(program, stopwatch, folders["partita"], "g", jobs)}
    if shutil.which("ninja"):
        for name in ["ninja", "ninja restat"]:
            tools[name] = Peer(["ninja", "--quiet", f"-j{jobs}"], stopwatch, folders[name], ["out"])

    def compare():
        for at in range(width):
            name = f"n{LAYERS - 1:02}-{at:04}"
            made = {
                (folder / "out/g" / name / "o" if tool == "partita" else folder / "out" / name).read_bytes()
                for tool, folder in folders.items() if tool in tools
            }
            if len(made) != 1:
                raise Failed(f"the tools disagree about {name}")

    for name, tool in tools.items():
        results.add(suite, "cold", name, tool.run(settle=True))
    compare()
    for turn in range(rounds):
        for again in range(3):
            for name, tool in rotated(tools, turn + again):
                results.add(suite, "no-op", name, tool.run())
        for name in tools:
            (folders[name] / "in/s0000").write_text(f"s0000 # {turn + 1}\n")
        for name, tool in rotated(tools, turn):
            # Without restat all that is above is made again, which takes as long as everything.
            if name != "ninja" or turn == 0:
                results.add(suite, "cut off", name, tool.run())
        compare()
    for name in tools:
        (folders[name] / "in/s0000").write_text("otherwise # 0\n")
    for name, tool in tools.items():
        results.add(suite, "leaf changed", name, tool.run())
    compare()
    return ["partita"], ["ninja", "ninja restat"]


def spec_of(names, action):
    """A workspace of as many actions as names, each with a source of its own."""
    items = "".join(f"    - {name}\n" for name in names)
    return (
        f"partita edition=1\n\nlet files type=list<string> {{\n{items}}}\n\ngraph wide {{\n    node c {{\n"
        f"        for-each f in=(var)files\n        input \"in/{{{{ f }}}}\"\n        {action}\n        output o\n    }}\n}}\n"
    )


def restore(program, stopwatch, work, results, count, rounds, jobs):
    """Outputs that were deleted come back from the store, beside `cp -r` of the same files, and Bazel's disk cache."""
    suite = f"restore, {count}"
    names = [f"f{number:06}" for number in range(count)]
    folder = work / f"restore-{count}"
    sources(folder, names)
    (folder / "partita.kdl").write_text(spec_of(names, 'copy "in/{{ f }}"'))
    ours = Partita(program, stopwatch, folder, "wide", jobs)
    for _ in range(2):
        ours.run()
    bazel = None
    if shutil.which("bazel"):
        beside = work / f"restore-{count}-bazel"
        sources(beside, names)
        rules = [genrule(f"c-{name}", [f"in/{name}"], f"made/{name}", f"cp in/{name} $@") for name in names]
        bazel = Bazel(stopwatch, beside, jobs, "".join(rules) + filegroup("all-of-it", [], [f"made/{name}" for name in names]), "all-of-it")
        bazel.run()
    try:
        restored(results, suite, work, folder, names, rounds, ours, bazel, stopwatch)
    finally:
        if bazel:
            bazel.stop()
    return ["partita"], ["cp -r", "bazel"]


def restored(results, suite, work, folder, names, rounds, ours, bazel, stopwatch):
    """The rounds of `restore`."""
    for turn in range(rounds):
        if bazel:
            bazel.forget_outputs()
            results.add(suite, "restore", "bazel", bazel.run(settle=True))
        kept, copy = work / "restore-kept", work / "restore-copy"
        set_aside(copy, folder)
        set_aside(kept, folder)
        (folder / "out").rename(kept)
        peer = Peer(["cp", "-r", kept, copy], stopwatch, work, [])
        for name, tool in rotated({"partita": ours, "cp -r": peer}, turn):
            results.add(suite, "restore", name, tool.run(settle=True))
        for name in names[:: max(1, len(names) // 50)]:
            if (folder / "out/wide/c" / name / "o").read_bytes() != (folder / "in" / name).read_bytes():
                raise Failed(f"the wrong bytes came back for {name}")
        ours.run()


def isolation(program, stopwatch, work, results, count, rounds, jobs):
    """Processes at every level that the machine offers, beside ninja, and ninja with `bwrap` around each."""
    suite = f"isolation, {count}"
    names = [f"f{number:06}" for number in range(count)]
    tools = {}
    for level in ["none", "landlock", "full"]:
        folder = work / f"isolation-{level}"
        sources(folder, names)
        (folder / "partita.kdl").write_text(spec_of(names, 'run cp "in/{{ f }}" o'))
        tools[f"partita {level}"] = Partita(program, stopwatch, folder, "wide", jobs, level)
    boxed = "bwrap --ro-bind / / --bind $$PWD $$PWD --dev /dev --proc /proc --unshare-all --die-with-parent cp $in $out"
    for name, command in {"ninja": "cp $in $out", "ninja bwrap": boxed}.items():
        if not shutil.which("ninja") or (name == "ninja bwrap" and not shutil.which("bwrap")):
            continue
        folder = work / f"isolation-{name.replace(' ', '-')}"
        sources(folder, names)
        edges = "".join(f"build out/{one}: cp in/{one}\n" for one in names)
        (folder / "build.ninja").write_text(f"rule cp\n  command = {command}\n{edges}")
        tools[name] = Peer(["ninja", "--quiet", f"-j{jobs}"], stopwatch, folder, ["out"])
    for turn in range(rounds):
        for name, tool in rotated(tools, turn):
            tool.clean()
            try:
                results.add(suite, "cold", name, tool.run(settle=True))
            except Failed:
                # A level that this machine does not offer.
                if name in ["partita none", "ninja"]:
                    raise
    return [name for name in tools if name.startswith("partita")], ["ninja", "ninja bwrap"]


def large(program, stopwatch, work, results, count, rounds, jobs):
    """A request that changes nothing, and one that changes one source, where there is very much: time and memory."""
    suite = f"large, {count}"
    names = [f"d{number // 1000:03}/f{number:06}" for number in range(count)]
    folders = {name: work / f"large-{name}" for name in ["partita", "ninja"]}
    for folder in folders.values():
        for part in {name.split("/")[0] for name in names}:
            (folder / "in" / part).mkdir(parents=True)
        for name in names:
            (folder / "in" / name).write_text(f"the content of {name}\n")
    flat = "".join(f"    - {name.replace('/', '-')}\n" for name in names)
    for part in {name.split("/")[0] for name in names}:
        # The same files, with names that may be part of an address.
        (folders["partita"] / "in" / part).rename(folders["partita"] / f"in-{part}")
    (folders["partita"] / "flat").mkdir()
    for name in names:
        part, file = name.split("/")
        (folders["partita"] / f"in-{part}" / file).rename(folders["partita"] / "flat" / f"{part}-{file}")
    (folders["partita"] / "partita.kdl").write_text(
        f"partita edition=1\n\nlet files type=list<string> {{\n{flat}}}\n\ngraph wide {{\n    node c {{\n"
        '        for-each f in=(var)files\n        input "flat/{{ f }}"\n        copy "flat/{{ f }}"\n        output o\n    }\n}\n'
    )
    # Rules of this kind take outputs as they find them, so that nothing has to be built first.
    edges = "".join(f"build out/{name}: cp in/{name}\n" for name in names)
    (folders["ninja"] / "build.ninja").write_text(f"rule cp\n  command = cp $in $out\n  generator = 1\n{edges}")
    shutil.copytree(folders["ninja"] / "in", folders["ninja"] / "out")
    tools = {"partita": Partita(program, stopwatch, folders["partita"], "wide", jobs)}
    results.add(suite, "cold", "partita", tools["partita"].run(settle=True))
    tools["partita"].run()
    if shutil.which("ninja"):
        tools["ninja"] = Peer(["ninja", "--quiet", f"-j{jobs}"], stopwatch, folders["ninja"], ["out"])
    for turn in range(rounds):
        for name, tool in rotated(tools, turn):
            results.add(suite, "no-op", name, tool.run())
        (folders["partita"] / "flat/d000-f000007").write_text(f"changed {turn}\n")
        (folders["ninja"] / "in/d000/f000007").write_text(f"changed {turn}\n")
        for name, tool in rotated(tools, turn):
            results.add(suite, "one changed", name, tool.run())
        for tool in tools.values():
            tool.run()
    return ["partita"], ["ninja"]


def tasks(program, stopwatch, work, results, rounds):
    """1,000 tasks of 30 ms, eight at once, beside what they take together and ninja; and one that only waits, whose
    processor time is the orchestrator's own."""
    suite = "tasks"
    folder = work / "tasks"
    names = [f"t{number:04}" for number in range(1000)]
    sources(folder, names)
    (folder / "partita.kdl").write_text(spec_of(names, 'run sh -c "sleep 0.03; : > o"'))
    many = Partita(program, stopwatch, folder, "wide", 8)
    peer = None
    if shutil.which("ninja"):
        beside = work / "tasks-ninja"
        beside.mkdir()
        edges = "".join(f"build out/{name}: wait\n" for name in names)
        (beside / "build.ninja").write_text(f"rule wait\n  command = sleep 0.03; : > $out\n{edges}")
        peer = Peer(["ninja", "--quiet", "-j8"], stopwatch, beside, ["out"])
    waits = work / "waits"
    sources(waits, ["x"])
    (waits / "partita.kdl").write_text(spec_of(["x"], 'run sh -c "sleep 3; : > o"'))
    one = Partita(program, stopwatch, waits, "wide", 1)
    for _ in range(rounds):
        many.clean()
        results.add(suite, "1,000 of 30 ms", "partita", many.run(settle=True))
        if peer:
            peer.clean()
            results.add(suite, "1,000 of 30 ms", "ninja", peer.run(settle=True))
        results.add(suite, "1,000 of 30 ms", "ideal", {"wall": 1000 * 0.03 / 8, "cpu": 0.0, "peak": 0.0})
        one.clean()
        results.add(suite, "3 s of waiting", "partita", one.run())
        results.add(suite, "3 s of waiting", "ideal", {"wall": 3.0, "cpu": 0.0, "peak": 0.0})
    return ["partita"], ["ideal", "ninja"]
