"""Bazel as a peer: Debian's, in its fastest ways. Leaves out what is built.

Its server is up before anything is measured, as it is for somebody who works with it; actions run without its sandbox;
a disk cache keeps what was made.
"""

import subprocess

from measure import quietly, set_aside


class Bazel:
    """One workspace, with a server and a cache of its own."""

    def __init__(self, stopwatch, folder, jobs, rules, target):
        self.stopwatch, self.folder = stopwatch, folder
        self.base, self.cache = folder.with_name(folder.name + "-base"), folder.with_name(folder.name + "-cache")
        (folder / "WORKSPACE").write_text("")
        (folder / "BUILD").write_text(rules)
        self.start = ["bazel", f"--output_user_root={self.base}"]
        self.command = [
            *self.start, "build", f"--jobs={jobs}", "--spawn_strategy=local", f"--disk_cache={self.cache}", "--noshow_progress", "--ui_event_filters=-info", f"//:{target}",
        ]

    def clean(self):
        quietly([*self.start, "clean", "--expunge"], self.folder)
        set_aside(self.cache, self.folder)
        # The server is up before a cold run begins, as it is for somebody who works with it.
        quietly([*self.start, "info"], self.folder)

    def forget_outputs(self):
        quietly([*self.start, "clean"], self.folder)

    def run(self, settle=False):
        return self.stopwatch.run(self.command, self.folder, settle=settle)

    def stop(self):
        subprocess.run([*self.start, "shutdown"], cwd=self.folder, check=False, capture_output=True)
        subprocess.run(["chmod", "-R", "u+w", self.base], check=False)


def genrule(name, sources, out, command):
    """One action with one output; the command speaks of files by their names."""
    listed = ", ".join(f'"{one}"' for one in sources)
    return f'genrule(\n    name = "{name}",\n    srcs = [{listed}],\n    outs = ["{out}"],\n    cmd = "{command}",\n)\n'


def filegroup(name, patterns, sources=()):
    """Files under one name: what the patterns find, and those that are named."""
    globs, listed = (", ".join(f'"{one}"' for one in some) for some in (patterns, sources))
    return f'filegroup(\n    name = "{name}",\n    srcs = glob([{globs}]) + [{listed}],\n)\n'
