"""Timing of whole processes and the table of ratios. Leaves out what is run."""

import os
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


class Failed(Exception):
    """A benchmarked command failed, or left the wrong thing."""


def quietly(command, folder, env=None):
    """Runs a command that is not measured; a failure ends the benchmark."""
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} failed in {folder}\n{done.stdout[-4000:]}")


def set_aside(path, folder):
    """Takes a file or folder of a workspace out of the way, to be deleted when the benchmark is over: ext4 does not give
    away what was deleted in the last minute, and who makes files meanwhile looks for others, the longer the more it was."""
    if path.exists():
        aside = folder.with_name(folder.name + "-aside")
        aside.mkdir(exist_ok=True)
        path.rename(aside / str(len(list(aside.iterdir()))))


class Stopwatch:
    """Starts programs through a small C program, so that the peak memory is their own."""

    def __init__(self, work: Path):
        self.program = work / "stopwatch"
        self.log = work / "log"
        source = Path(__file__).with_name("stopwatch.c")
        subprocess.run(["gcc", "-O2", "-o", self.program, source], check=True)

    def run(self, command, folder, env=None, settle=False):
        """Runs a command to its end and returns its cost; a failure ends the benchmark."""
        if settle:
            os.sync()
        words = [str(word) for word in command]
        done = subprocess.run(
            [self.program, self.log, *words], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
        )
        fields = done.stdout.split()
        if done.returncode != 0 or len(fields) != 5 or int(fields[0]) != 0:
            output = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
            raise Failed(f"failed in {folder}: {shlex.join(words)}\n{output}")
        _, wall, user, system, peak = (int(field) for field in fields)
        return {"wall": wall / 1e9, "cpu": (user + system) / 1e6, "peak": peak / 1024}


class Results:
    """Costs by suite, scenario and tool."""

    def __init__(self):
        self.rows = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, suite, scenario, tool, cost):
        self.rows[suite][scenario][tool].append(cost)
        print(f"  {suite:<22} {scenario:<16} {tool:<16} {seconds(cost['wall'])}", file=sys.stderr)

    def table(self, suite, ours, peers):
        """One table: absolute minima and medians, then our minimum over each peer's minimum."""
        scenarios = self.rows[suite]
        tools = [tool for tool in [*ours, *peers] if any(tool in row for row in scenarios.values())]
        present = [peer for peer in peers if peer in tools]
        head = ["", *tools, *(f"{our}/{peer}" for our in ours if our in tools for peer in present)]
        lines = [head]
        for scenario, row in scenarios.items():
            cells = [scenario]
            for tool in tools:
                walls = sorted(cost["wall"] for cost in row.get(tool, []))
                cells.append(f"{seconds(walls[0])} ({seconds(walls[len(walls) // 2])})" if walls else "-")
            for our in ours:
                if our not in tools:
                    continue
                for peer in present:
                    if row.get(our) and row.get(peer):
                        cells.append(f"{least(row[our], 'wall') / least(row[peer], 'wall'):.2f}")
                    else:
                        cells.append("-")
            lines.append(cells)
        for name, key, unit in [("cpu", "cpu", "s"), ("peak", "peak", "MiB")]:
            for scenario, row in scenarios.items():
                cells = [f"{scenario}, {name}"]
                for tool in tools:
                    costs = row.get(tool, [])
                    if not costs:
                        cells.append("-")
                    elif unit == "s":
                        cells.append(seconds(least(costs, key)))
                    else:
                        cells.append(f"{max(cost[key] for cost in costs):.1f} {unit}")
                lines.append(cells + [""] * (len(head) - len(cells)))
        return render(lines)

    def as_json(self):
        return {suite: {name: dict(row) for name, row in rows.items()} for suite, rows in self.rows.items()}


def least(costs, key):
    return max(min(cost[key] for cost in costs), 1e-9)


def seconds(value):
    if value < 0.9995:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s"


def render(lines):
    """A Markdown table with aligned columns."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for number, line in enumerate(lines):
        first, rest = line[0].ljust(widths[0]), [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        text.append("| " + " | ".join([first, *rest]) + " |")
        if number == 0:
            text.append("|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|")
    return "\n".join(text)
