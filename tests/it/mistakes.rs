//! The page of the ten commonest mistakes: each is compiled, and the page shows the spec and what is
//! said of it, as it is said. Leaves out every other diagnostic: see `ui`.

use std::fmt::Write as _;
use std::fs;

use partita::base::RelPath;
use partita::diag::{MessageFormat, RenderOptions, Severity, render_all};
use partita::lang::{Compiled, MemoryWorld, compile};
use walkdir::WalkDir;

use crate::support::{golden, repository};

const HEAD: &str = "\
# The ten commonest mistakes

Each spec below has one mistake, and below it stands what `partita check` says: what is wrong, where, why, and how it is
mended. `partita explain CODE` tells more of each, with an example; `partita fix` makes the mends that are surely what was
meant.

";

/// A mistake: its title, and the spec without the title and the markers of the UI tests.
struct Mistake {
    title: String,
    text: String,
}

fn mistakes() -> Vec<Mistake> {
    let mut found = Vec::new();
    for entry in WalkDir::new(repository("tests/ui/ten")).sort_by_file_name() {
        let entry = entry.expect("the folder of mistakes can be listed");
        if entry.path().extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("a case can be read");
        let (title, text) = text.split_once('\n').expect("a case has a title");
        let plain = |line: &str| line.split(" //~").next().unwrap_or_default().to_owned() + "\n";
        found.push(Mistake {
            title: title.trim_start_matches("// ").to_owned(),
            text: text.lines().map(plain).collect(),
        });
    }
    found
}

fn compiled(text: &str) -> Compiled {
    compile(&MemoryWorld::single(text), &[RelPath::new("partita.kdl").expect("a relative path")])
}

#[test]
fn the_page_of_mistakes_shows_what_is_said() {
    let mut page = HEAD.to_owned();
    for (index, mistake) in mistakes().iter().enumerate() {
        let compiled = compiled(&mistake.text);
        let options = RenderOptions { format: MessageFormat::Human, color: false, width: 96 };
        let said = render_all(&compiled.diagnostics, &compiled.program.sources, options);
        let Mistake { title, text } = mistake;
        let _ =
            write!(page, "## {}. {title}\n\n```kdl,fails\n{text}```\n\n```text\n{}\n```\n\n", index + 1, said.trim());
    }
    golden("../book/src/guides/mistakes.md", &(page.trim_end().to_owned() + "\n"));
}

#[test]
fn each_mistake_is_answered_once_with_its_place_and_its_mend() {
    let mistakes = mistakes();
    assert_eq!(mistakes.len(), 10);
    for Mistake { title, text } in mistakes {
        let compiled = compiled(&text);
        let said = compiled.diagnostics.sorted();
        let [only] = said.as_slice() else { panic!("{title}: {} things are said", said.len()) };
        assert_eq!(only.severity, Severity::Error, "{title}");
        let (start, end) = (only.primary.span.start as usize, only.primary.span.end as usize);
        assert!(start < end && end <= text.len(), "{title}: the place is empty");
        assert!(end - start < 60, "{title}: the place is wider than a mistake");
        assert!(!only.help.is_empty(), "{title}: no mend");
    }
}
