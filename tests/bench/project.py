"""A C project of more than 300 units: MPFR and MPC, two archives and a program that uses both, beside make, ninja
and Bazel. Leaves out timing (`measure`).

The sources are those of the crate `gmp-mpfr-sys`; GMP itself is the system's (Debian: libgmp-dev). What `configure`
finds out is found out before anything is measured, and every tool compiles with the same words. make and ninja
learn of headers from the compiler's own lists, Bazel from what its rule declares, Partita from the declared inputs.
"""

import os
import re
import shutil

from bazel import Bazel, filegroup, genrule
from measure import Failed, quietly, set_aside
from suites import Partita, Peer, rotated

CRATE = "1.7.1"
FLAGS = ["-O2", "-Wall", "-include", "config/defs.h", "-Impfr", "-Impc"]
LIBRARIES = ["mpfr", "mpc"]

CHECK = r"""
#include <stdio.h>
#include "mpc.h"

int main(void) {
  mpc_t z;
  mpc_init2(z, 333);
  mpfr_const_pi(mpc_imagref(z), MPFR_RNDN);
  mpfr_set_ui(mpc_realref(z), 1, MPFR_RNDN);
  mpc_exp(z, z, MPC_RNDNN);
  mpc_out_str(stdout, 10, 100, z, MPC_RNDNN);
  putchar('\n');
  return 0;
}
"""


def prepared(work):
    """A folder with `mpfr/`, `mpc/`, `config/` and `check.c`; returns it and the units of each library."""
    crate = work / "crate"
    (crate / "src").mkdir(parents=True)
    (crate / "src/lib.rs").write_text("")
    (crate / "Cargo.toml").write_text(
        f'[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\ngmp-mpfr-sys = "={CRATE}"\n\n[workspace]\n'
    )
    quietly(["cargo", "vendor", "--quiet", "vendor"], crate)
    vendored = crate / "vendor/gmp-mpfr-sys"
    trees = {name: next(vendored.glob(f"{name}-*-c")) for name in LIBRARIES}
    for name, extra in [("mpfr", []), ("mpc", [f"--with-mpfr-include={trees['mpfr'] / 'src'}", f"--with-mpfr-lib={trees['mpfr'] / 'src/.libs'}"])]:
        quietly(["sh", "./configure", "--disable-shared", "--disable-dependency-tracking", *extra], trees[name])
        if name == "mpfr":
            # MPC's configure links against it.
            quietly(["make", "-s", f"-j{os.cpu_count()}", "-C", "src", "libmpfr.la", "get_patches.c"], trees[name])
    project = work / "project-source"
    (project / "config").mkdir(parents=True)
    units, defined = {}, []
    for name, tree in trees.items():
        shutil.copytree(tree / "src", project / name, ignore=lambda _, names: [one for one in names if not re.search(r"\.[ch]$|^[a-z0-9_]+$", one)])
        made = (tree / "src/Makefile.am").read_text()
        listed = re.search(rf"^lib{name}_la_SOURCES\s*=((?:.*\\\n)*.*)", made, re.M).group(1)
        units[name] = [one[:-2] for one in listed.split() if one.endswith(".c")]
        words = re.search(r"^DEFS = (.*)$", (tree / "src/Makefile").read_text(), re.M).group(1)
        for found in re.findall(r"-D(\w+)=((?:\\.|[^\s\\])+)", words):
            value = found[1].replace("\\", "")
            defined.append(f"#ifndef {found[0]}\n#define {found[0]} {value}\n#endif\n")
    units["mpfr"].append("get_patches")
    if (trees["mpc"] / "config.h").exists():
        shutil.copy(trees["mpc"] / "config.h", project / "mpc/config.h")
    (project / "config/defs.h").write_text("".join(dict.fromkeys(defined)))
    (project / "check.c").write_text(CHECK)
    if sum(len(some) for some in units.values()) < 300:
        raise Failed("the project has less than 300 units")
    return project, units


def project(program, stopwatch, work, results, rounds, jobs):
    """Cold, nothing changed, a comment in one file, code in one file, and a comment in a header that all include."""
    suite = "project"
    source, units = prepared(work)
    # Some units are other units with other names: they include these as text.
    shared = {name: sorted(set(texts_included(source / name))) for name in LIBRARIES}
    folders = {name: work / f"project-{name}" for name in ["partita", "make", "ninja", "bazel"]}
    for folder in folders.values():
        shutil.copytree(source, folder)
    (folders["partita"] / "partita.kdl").write_text(spec(units, shared))
    (folders["make"] / "Makefile").write_text(makefile(units))
    (folders["ninja"] / "build.ninja").write_text(ninja(units))
    tools = {"partita": Partita(program, stopwatch, folders["partita"], "numbers", jobs)}
    if shutil.which("make"):
        tools["make"] = Peer(["make", "-rRs", f"-j{jobs}"], stopwatch, folders["make"], ["obj", "libmpfr.a", "libmpc.a", "check", "check.txt"])
    if shutil.which("ninja"):
        tools["ninja"] = Peer(["ninja", "--quiet", f"-j{jobs}"], stopwatch, folders["ninja"], ["obj", "libmpfr.a", "libmpc.a", "check", "check.txt"])
    if shutil.which("bazel"):
        tools["bazel"] = Bazel(stopwatch, folders["bazel"], jobs, bazel_rules(units, shared), "run")
    made = {"partita": "out/numbers/run/check.txt", "make": "check.txt", "ninja": "check.txt", "bazel": "bazel-bin/check.txt"}

    def each(scenario, order):
        for name, tool in order:
            results.add(suite, scenario, name, tool.run(settle=scenario == "cold"))
        texts = {(folders[name] / made[name]).read_bytes() for name in tools}
        if len(texts) != 1 or not next(iter(texts)).startswith(b"(-2.718281828459045235360287"):
            raise Failed(f"the tools disagree about check.txt, or it is wrong: {texts}")

    def append(file, text):
        for folder in folders.values():
            with (folder / file).open("a") as out:
                out.write(text)

    try:
        for turn in range(rounds):
            for tool in tools.values():
                tool.clean()
            each("cold", rotated(tools, turn))
            for again in range(3):
                each("no-op", rotated(tools, turn + again))
            append("mpfr/sin.c", f"/* round {turn} */\n")
            each("comment in a file", rotated(tools, turn))
            append("mpfr/sin.c", f"int bench_round_{turn} = {turn};\n")
            each("code in a file", rotated(tools, turn))
        append("mpfr/mpfr-impl.h", "/* seen by all */\n")
        each("comment in a header", rotated(tools, 0))
        for folder in folders.values():
            for path in [folder / "out", *(folder / name for name in ["obj", "libmpfr.a", "libmpc.a", "check", "check.txt"])]:
                set_aside(path, folder)
        if "bazel" in tools:
            tools["bazel"].forget_outputs()
        for name in [name for name in ["partita", "bazel"] if name in tools]:
            results.add(suite, "restore", name, tools[name].run(settle=True))
    finally:
        if "bazel" in tools:
            tools["bazel"].stop()
    return ["partita"], ["make", "ninja", "bazel"]


def texts_included(folder):
    """The C files that others include, which are therefore inputs of those."""
    for path in folder.glob("*.[ch]"):
        for name in re.findall(r'^\s*#\s*include "(\w+\.c)"', path.read_text(errors="replace"), re.M):
            if (folder / name).exists():
                yield name


def compile_words():
    return " ".join(FLAGS)


def spec(units, shared):
    lists = "".join(
        f"let {name}_units type=list<string> {{\n" + "".join(f"    - {unit}\n" for unit in units[name]) + "}\n\n" for name in LIBRARIES
    )
    flags = " ".join(f'"{flag}"' for flag in FLAGS)
    nodes = ""
    for name in LIBRARIES:
        texts = "".join(f'        input "{name}/{one}"\n' for one in shared[name])
        others = '        input "mpfr/*.h"\n' if name == "mpc" else '        input "mpfr/**/mparam.h"\n'
        nodes += f"""    node {name}_obj {{
        for-each unit in=(var){name}_units
        input "{name}/{{{{ unit }}}}.c"
        input "{name}/*.h"
        input "config/*.h"
{others}{texts}        run cc.gcc {flags} -c "{name}/{{{{ unit }}}}.c" -o obj.o
        output obj.o
    }}

    node {name} {{
        input "obj/{{{{ node.unit }}}}.o" from=(ref){name}_obj.obj.o
        run sh -c "ar rcsD lib{name}.a obj/*.o"
        tools cc.ar
        output lib{name}.a
    }}

"""
    return f"""partita edition=1
import "<std>/cc" as=cc

{lists}graph numbers {{
{nodes}    node check {{
        input "check.c"
        input "mpc/mpc.h"
        input "mpfr/*.h"
        input "config/*.h"
        input libmpc.a from=(ref)mpc.libmpc.a
        input libmpfr.a from=(ref)mpfr.libmpfr.a
        run cc.gcc {flags} "check.c" -o check libmpc.a libmpfr.a -lgmp -lm
        output check
    }}

    node run {{
        input check from=(ref)check.check
        run sh -c "./check > check.txt"
        output check.txt
    }}
}}
"""


def makefile(units):
    rules = "".join(
        f"""lib{name}.a: {" ".join(f"obj/{name}/{unit}.o" for unit in units[name])}
	rm -f $@ && ar rcsD $@ $^
obj/{name}/%.o: {name}/%.c | obj/{name}
	gcc {compile_words()} -MMD -c $< -o $@
obj/{name}:
	mkdir -p $@
-include $(wildcard obj/{name}/*.d)
"""
        for name in LIBRARIES
    )
    return f"""all: check.txt
{rules}check: check.c libmpc.a libmpfr.a
	gcc {compile_words()} check.c -o check libmpc.a libmpfr.a -lgmp -lm
check.txt: check
	./check > check.txt
"""


def ninja(units):
    edges = "".join(f"build obj/{name}/{unit}.o: compile {name}/{unit}.c\n" for name in LIBRARIES for unit in units[name])
    archives = "".join(f"build lib{name}.a: archive {' '.join(f'obj/{name}/{unit}.o' for unit in units[name])}\n" for name in LIBRARIES)
    return f"""rule compile
  command = gcc {compile_words()} -MMD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
rule archive
  command = rm -f $out && ar rcsD $out $in
rule link
  command = gcc {compile_words()} check.c -o check libmpc.a libmpfr.a -lgmp -lm
rule check
  command = ./check > check.txt
{edges}{archives}build check: link check.c libmpc.a libmpfr.a
build check.txt: check check
default check.txt
"""


def bazel_rules(units, shared):
    rules = []
    for name in LIBRARIES:
        headers = [f"{name}/**/*.h", "config/*.h", *(["mpfr/**/*.h"] if name == "mpc" else [])]
        rules.append(filegroup(f"{name}-texts", headers, [f"{name}/{one}" for one in shared[name]]))
        for unit in units[name]:
            command = f"gcc {compile_words()} -c {name}/{unit}.c -o $@"
            rules.append(genrule(f"{name}-{unit}", [f"{name}/{unit}.c", f":{name}-texts"], f"obj/{name}/{unit}.o", command))
        objects = [f"obj/{name}/{unit}.o" for unit in units[name]]
        rules.append(genrule(f"lib{name}", objects, f"lib{name}.a", "ar rcsD $@ $(SRCS)"))
    link = f"gcc {compile_words()} check.c -o $@ $(location libmpc.a) $(location libmpfr.a) -lgmp -lm"
    rules.append(genrule("link", ["check.c", "libmpc.a", "libmpfr.a", ":mpc-texts"], "check", link))
    rules.append(genrule("run", ["check"], "check.txt", "./$(location check) > $@"))
    return "".join(rules)
