"""What is measured: the Lua library as a C project, and many small copies. Leaves out timing.

Each suite prepares one folder for each tool, then works in rounds. In a round every scenario is run by
every tool before the next scenario begins, so that a change in the machine's speed meets all alike.
"""

import os
import re
import shutil
from pathlib import Path

from bazel import Bazel, filegroup, genrule
from measure import Failed, set_aside


class Partita:
    """A workspace with a store and a state directory of its own."""

    def __init__(self, program, stopwatch, folder, graph, jobs, level="none"):
        self.level = level
        self.program, self.stopwatch, self.folder, self.graph, self.jobs = program, stopwatch, folder, graph, jobs
        self.store, self.state = folder.with_name(folder.name + "-store"), folder.with_name(folder.name + "-state")
        self.seed = folder.with_name(folder.name + "-seed")

    def command(self, *targets):
        return [
            self.program, "-C", self.folder, "--store", self.store, "--state", self.state, "-j", self.jobs,
            "--progress", "none", "run", "--isolation", self.level, *targets,
        ]

    def keep_as_seed(self):
        """What the store holds now is there at the beginning of every cold run."""
        shutil.copytree(self.store, self.seed, symlinks=True)

    def clean(self):
        for path in [self.store, self.state, self.folder / "out"]:
            set_aside(path, self.folder)
        if self.seed.exists():
            shutil.copytree(self.seed, self.store, symlinks=True)

    def run(self, settle=False):
        return self.stopwatch.run(self.command(self.graph), self.folder, settle=settle)


class Peer:
    """A tool that keeps its state beside its outputs."""

    def __init__(self, command, stopwatch, folder, made):
        self.command, self.stopwatch, self.folder, self.made = command, stopwatch, folder, made

    def clean(self):
        for name in [*self.made, ".ninja_log", ".ninja_deps"]:
            set_aside(self.folder / name, self.folder)

    def run(self, settle=False):
        return self.stopwatch.run(self.command, self.folder, settle=settle)


def rotated(tools, by):
    """The tools in an order that differs from round to round."""
    names = list(tools)
    by %= len(names)
    return [(name, tools[name]) for name in names[by:] + names[:by]]


def peers(stopwatch, folders, jobs, made):
    """make and ninja, as far as they are there."""
    found = {}
    if shutil.which("make"):
        found["make"] = Peer(["make", "-rRs", f"-j{jobs}"], stopwatch, folders["make"], made)
    if shutil.which("ninja"):
        found["ninja"] = Peer(["ninja", "--quiet", f"-j{jobs}"], stopwatch, folders["ninja"], made)
    return found


# --- a C project


def lua(program, stopwatch, work, repository, results, rounds, jobs):
    """`examples/lua` by Partita, and the same commands by make, ninja and Bazel."""
    suite = "lua"
    workspace = work / "lua-partita"
    shutil.copytree(repository / "examples/lua", workspace, ignore=shutil.ignore_patterns("out", ".partita"))
    ours = Partita(program, stopwatch, workspace, "lua", jobs)
    # The sources are fetched and merged beforehand: peers find them in their folder too.
    stopwatch.run(ours.command("lua/sources"), workspace)
    sources = workspace / "out/lua/sources/src"
    if not (sources / "lapi.c").is_file():
        raise Failed(f"{sources} does not hold the sources")
    ours.keep_as_seed()

    units = re.findall(r"^    - (l\w+)$", (workspace / "partita.kdl").read_text(), re.M)
    folders = {}
    for name in ["make", "ninja", "bazel"]:
        folder = folders[name] = work / f"lua-{name}"
        folder.mkdir()
        shutil.copytree(sources, folder / "src")
        shutil.copytree(workspace / "host", folder / "host")
        shutil.copytree(workspace / "check", folder / "check")
    (folders["make"] / "Makefile").write_text(lua_makefile(units))
    (folders["ninja"] / "build.ninja").write_text(lua_ninja(units, sorted(path.name for path in sources.glob("*.h"))))
    tools = {"partita": ours, **peers(stopwatch, folders, jobs, ["obj", "liblua.a", "main.o", "lua", "check.txt", "include"])}
    if shutil.which("bazel"):
        tools["bazel"] = Bazel(stopwatch, folders["bazel"], jobs, lua_bazel(units), "all-of-it")

    original = (sources / "lapi.c").read_text()

    def edit(text):
        (workspace / "overrides/lapi.c").write_text(text)
        for folder in folders.values():
            (folder / "src/lapi.c").write_text(text)

    def compare():
        expected = (workspace / "out/lua/check/check.txt").read_bytes()
        for name, folder in folders.items():
            made = folder / ("bazel-bin/check.txt" if name == "bazel" else "check.txt")
            if name in tools and made.read_bytes() != expected:
                raise Failed(f"{name} and partita disagree about check.txt")

    try:
        for turn in range(rounds):
            (workspace / "overrides/lapi.c").unlink(missing_ok=True)
            for folder in folders.values():
                (folder / "src/lapi.c").write_text(original)
            for name, tool in rotated(tools, turn):
                tool.clean()
                results.add(suite, "cold", name, tool.run(settle=True))
            compare()
            for again in range(3):
                for name, tool in rotated(tools, turn + again):
                    results.add(suite, "no-op", name, tool.run())
            edit(original + f"/* round {turn} */\n")
            for name, tool in rotated(tools, turn):
                results.add(suite, "comment added", name, tool.run())
            edit(original + f"int bench_round_{turn} = {turn};\n")
            for name, tool in rotated(tools, turn):
                results.add(suite, "one file changed", name, tool.run())
            compare()
    finally:
        if "bazel" in tools:
            tools["bazel"].stop()
    return ["partita"], ["make", "ninja", "bazel"]


COMPILE = "gcc -O2 -std=gnu99 -Wall -DLUA_COMPAT_5_3 -DLUA_USE_LINUX -c"
MAIN = "gcc -O2 -std=gnu99 -Wall -Isrc -c host/lua.c -o main.o"
LINK = "gcc -o lua main.o liblua.a -Wl,-E -lm -ldl"
CHECK = "./lua check/check.lua from-the-spec > check.txt"
HEADERS = "src/lua.h src/luaconf.h src/lualib.h src/lauxlib.h"


def lua_makefile(units):
    objects = " ".join(f"obj/{unit}.o" for unit in units)
    return f"""\
all: check.txt include
HEADERS := $(wildcard src/*.h)
obj/%.o: src/%.c $(HEADERS) | obj
	{COMPILE} $< -o $@
obj:
	mkdir obj
liblua.a: {objects}
	rm -f $@ && ar rcsD $@ $^
main.o: host/lua.c $(HEADERS)
	{MAIN}
lua: main.o liblua.a
	{LINK}
check.txt: lua check/check.lua
	{CHECK}
include: {HEADERS}
	rm -rf include && mkdir include && cp {HEADERS} include/
"""


def lua_ninja(units, headers):
    needed = " ".join(f"src/{header}" for header in headers)
    objects = " ".join(f"obj/{unit}.o" for unit in units)
    compiles = "\n".join(f"build obj/{unit}.o: compile src/{unit}.c | {needed}" for unit in units)
    return f"""\
rule compile
  command = {COMPILE} $in -o $out
rule archive
  command = rm -f $out && ar rcsD $out $in
rule main
  command = {MAIN}
rule link
  command = {LINK}
rule check
  command = {CHECK}
rule headers
  command = rm -rf include && mkdir include && cp {HEADERS} include/
{compiles}
build liblua.a: archive {objects}
build main.o: main host/lua.c | {needed}
build lua: link main.o liblua.a
build check.txt: check lua check/check.lua
build include/lua.h: headers {HEADERS}
default check.txt include/lua.h
"""


def lua_bazel(units):
    return "".join(
        [
            filegroup("headers", ["src/*.h"]),
            *(genrule(f"obj-{unit}", [f"src/{unit}.c", ":headers"], f"obj/{unit}.o", f"{COMPILE} src/{unit}.c -o $@") for unit in units),
            genrule("archive", [f"obj/{unit}.o" for unit in units], "liblua.a", "rm -f $@ && ar rcsD $@ $(SRCS)"),
            genrule("main-object", ["host/lua.c", ":headers"], "main.o", MAIN.replace("main.o", "$@")),
            genrule("link", ["main.o", "liblua.a"], "lua", "gcc -o $@ $(location main.o) $(location liblua.a) -Wl,-E -lm -ldl"),
            genrule("run", ["lua", "check/check.lua"], "check.txt", "./$(location lua) check/check.lua from-the-spec > $@"),
            *(genrule(f"include-{at}", [header], f"include/{header[4:]}", f"cp {header} $@") for at, header in enumerate(HEADERS.split())),
            filegroup("all-of-it", [], ["check.txt", *(f"include/{header[4:]}" for header in HEADERS.split())]),
        ]
    )


# --- many small copies


def copies(program, stopwatch, work, results, count, rounds, jobs):
    """`count` independent copies of small files: by `cp` processes, and by the built-in kind."""
    suite = f"copies, {count}"
    names = [f"f{number:06}" for number in range(count)]
    items = "".join(f"    - {name}\n" for name in names)
    actions = {"partita cp": 'run cp "in/{{ f }}" o', "partita copy": 'copy "in/{{ f }}"'}
    tools, folders = {}, {}
    for name, action in actions.items():
        folder = folders[name] = work / f"copies-{count}-{name.split()[1]}"
        sources(folder, names)
        (folder / "partita.kdl").write_text(
            f"partita edition=1\n\nlet files type=list<string> {{\n{items}}}\n\n"
            "graph wide {\n    node c {\n        for-each f in=(var)files\n"
            f'        input "in/{{{{ f }}}}"\n        {action}\n        output o\n    }}\n}}\n'
        )
        tools[name] = Partita(program, stopwatch, folder, "wide", jobs)
    for name in ["make", "ninja"]:
        folder = folders[name] = work / f"copies-{count}-{name}"
        sources(folder, names)
    (folders["make"] / "Makefile").write_text(
        "all: " + " ".join(f"out/{name}" for name in names) + "\n"
        + "".join(f"out/{name}: in/{name} | out\n\tcp in/{name} out/{name}\n" for name in names)
        + "out:\n\tmkdir out\n"
    )
    (folders["ninja"] / "build.ninja").write_text(
        "rule cp\n  command = cp $in $out\n" + "".join(f"build out/{name}: cp in/{name}\n" for name in names)
    )
    tools.update(peers(stopwatch, folders, jobs, ["out"]))

    def made(name, item):
        folder = folders[name] / "out"
        return folder / "wide/c" / item / "o" if name.startswith("partita") else folder / item

    def verify(items):
        for name in tools:
            for item in items:
                if made(name, item).read_bytes() != (folders[name] / "in" / item).read_bytes():
                    raise Failed(f"{name} left the wrong bytes for {item}")

    for turn in range(rounds):
        for name, tool in rotated(tools, turn):
            tool.clean()
            results.add(suite, "cold", name, tool.run(settle=True))
        verify(names)
        for again in range(3):
            for name, tool in rotated(tools, turn + again):
                results.add(suite, "no-op", name, tool.run())
        chosen = names[(turn * 7919 + count // 2) % count]
        for name in tools:
            os.utime(folders[name] / "in" / chosen)
        for name, tool in rotated(tools, turn):
            results.add(suite, "touch", name, tool.run())
        for name in tools:
            (folders[name] / "in" / chosen).write_text(f"changed in round {turn}\n")
        for name, tool in rotated(tools, turn):
            results.add(suite, "one changed", name, tool.run())
        verify([chosen, names[0], names[-1]])
    return list(actions), ["make", "ninja"]


def sources(folder: Path, names):
    (folder / "in").mkdir(parents=True)
    for name in names:
        (folder / "in" / name).write_text(f"the content of {name}\n")
