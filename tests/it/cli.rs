//! The program as it is used: every command, its forms of output, its signals and its statuses. Leaves
//! out input that is wrong (`badinput`), reasons (`why`) and what the documents show (`book`).

mod delivery;
mod forms;
mod help;
mod in_place;
mod plans;
mod progress;
mod running;
mod signals;
mod surroundings;
mod together;
mod upkeep;

use crate::support::Workspace;

/// A workspace in which there is something of everything: a parameter, a chain, an independent node, an
/// output that nothing consumes, a bundle.
fn sample() -> Workspace {
    Workspace::with_spec(
        "\
graph report {
    param lang type=string default=en
    node count {
        input \"data/*.txt\"
        run sh -c \"cat data/*.txt | wc -w > words.txt; echo counted; echo carefully >&2\"
        output words.txt
    }
    node summary {
        input words.txt from=(ref)count.words.txt
        run sh -c \"printf '%s words: %s\\\\n' \\\"$LANGUAGE\\\" \\\"$(cat words.txt)\\\" > summary.txt\"
        env LANGUAGE=\"{{ lang }}\"
        output summary.txt
    }
    node note { write \"in {{ lang }}\\n\"; output note.txt }
}
bundle report from=report version=\"1.2.0\" {
    include summary output=summary.txt to=\"summary.txt\"
    include note output=note.txt to=\"doc/note.txt\"
}
",
    )
    .file("data/a.txt", "one two three\n")
    .file("data/b.txt", "four five\n")
}
