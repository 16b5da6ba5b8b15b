//! The codes of what goes wrong when a plan is executed, with what each means and what to do. Leaves out the
//! wording of single cases.

/// Each code with what it means and what to do: of a run that cannot be carried through (`E01xx`) and of an action that failed
/// (`E02xx`), in order.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        "E0101",
        "the file system refused",
        "Look at the path and the reason in the message: room, permissions, a missing folder.",
    ),
    (
        "E0102",
        "the machine refused something that has no path",
        "Most often processes, memory or open files are used up. Run fewer actions at once: `-j 1`.",
    ),
    (
        "E0103",
        "an action needs more of a pool than there is",
        "Ask for less in `resource`, or give the pool more: `cpu` grows with `-j`, others where the graph declares them.",
    ),
    (
        "E0104",
        "an action holds a pool that nobody declared",
        "The plan file was written by hand or by another version: compile it anew.",
    ),
    (
        "E0105",
        "the isolation asked for is not to be had, so nothing was run",
        "`partita doctor` says what this machine offers and why not more. Ask for less by `--isolation`, or run elsewhere.",
    ),
    ("E0106", "the plan is malformed", "Compile it anew: `partita plan GRAPH`."),
    (
        "E0107",
        "the store loses content as often as it is made",
        "Another process deletes what it should not, or the disk is failing: `partita store verify`.",
    ),
    (
        "E0108",
        "it is expected to cost more than it may, so nothing was run",
        "Raise the `budget` of the graph, or choose cheaper providers.",
    ),
    (
        "E0201",
        "a tool is not on this machine",
        "Install it, put its folder on `PATH`, or name a file of the workspace at `exec`. Running `sh` needs every \
         utility that `sh` uses: `partita doctor` says which is missing.",
    ),
    (
        "E0202",
        "a tool does not say what it is, or has the wrong version",
        "Run its `fingerprint` by hand. A script of a version manager finds only tools that it names by `uses`: put the \
         folder of the real program before it on `PATH`.",
    ),
    (
        "E0203",
        "its inputs cannot be brought together",
        "A pattern that matches nothing is an error unless it says `optional=#true`. Two inputs may not have one place.",
    ),
    (
        "E0204",
        "its process could not be started",
        "The message says what the system answered: permissions, or want of processes or memory.",
    ),
    (
        "E0205",
        "its process ended with a status that is not 0",
        "What it printed says why: `partita log --addr ADDRESS`. Status 127 means that a command was not found: an \
         action finds only the tools that it names.",
    ),
    (
        "E0206",
        "its process was ended by a signal",
        "Signal 9 is often the kernel's, for want of memory; 11 is a defect of the program. `retry` tries again.",
    ),
    (
        "E0207",
        "it took longer than its timeout",
        "Raise `timeout`, or find out what it waits for: it has no terminal and no standard input.",
    ),
    (
        "E0208",
        "processes of it could not be killed",
        "They are in the kernel, most often waiting for a disk or a network file system.",
    ),
    (
        "E0209",
        "its outputs are not as declared",
        "An output is a regular file or a folder at the declared place, relative to the folder the action runs in. The \
         message says what was there instead.",
    ),
    (
        "E0210",
        "its outputs do not have the declared digests",
        "What is fetched has changed, or the digest was never right. Look at what came before writing the new one.",
    ),
    ("E0211", "a template or JSON file is wrong", "The message says where in the file."),
    (
        "E0212",
        "its process asked the terminal for input",
        "Actions have no terminal: give what it asks for in a file, a variable or an option.",
    ),
    (
        "E0213",
        "a service that it uses did not become ready, or did not live",
        "The message has the end of the service's log; its `ready` says what was waited for.",
    ),
    (
        "E0214",
        "it may have happened, and nobody knows: an effect, or a process of which it cannot be found out how it ended",
        "Look outside whether it did. If so, `--done ADDRESS`; if not, or if it leaves outputs, `--refresh ADDRESS`.",
    ),
    ("E0215", "it was never recorded, under `--replay-only`", "Run without `--replay-only` to record it."),
    (
        "E0216",
        "it is a gate, and says no",
        "Mend what it looks at. That a requirement is met by weakening it shows in `partita diff`.",
    ),
    (
        "E0217",
        "it is an approval that people have not given",
        "`partita approve GRAPH --key NAME` gives it; what waits for it is skipped until then.",
    ),
    (
        "E0218",
        "it used more than its `limits` allow: processes, memory, bytes or files",
        "Raise the limit where the action is declared, or have the action use less.",
    ),
    (
        "E0219",
        "an API that serves an agent did not answer as it should",
        "The message says what it answered, and the log of the action has all that was said. `retry` tries again where it \
         was too busy.",
    ),
    (
        "E0220",
        "it may cost more than is left of the budget, so it was not started",
        "Raise the `budget`, or choose cheaper providers. What was done is kept: the next run goes on from there.",
    ),
    (
        "E0221",
        "an output does not fit the JSON Schema it is declared with",
        "The message says where in the document and by which part of the schema. Mend what makes it; that a schema was \
         weakened shows in `partita diff`.",
    ),
    (
        "E0222",
        "its record in the cassette is damaged",
        "Bring the state directory back from a backup, or ask again by `--refresh ADDRESS`, which may cost money and may be \
         answered otherwise.",
    ),
];
