//! Changes of this project's own history, as the book shows them. Their files are kept here, so that a clone
//! without history can make the differences again. Leaves out what makes a difference readable, which a
//! person has to judge.

use std::path::Path;

use walkdir::WalkDir;

use crate::support::{Workspace, blocks_of, repository, tool};

/// Makes the files of one side the files of a workspace.
fn put(workspace: &Workspace, side: &Path) {
    for name in workspace.list("").iter().filter(|name| !name.starts_with(".git/")) {
        workspace.remove(name);
    }
    for entry in WalkDir::new(side).sort_by_file_name().into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(side).expect("it lies below").to_str().expect("it is UTF-8");
            workspace.write(name, std::fs::read(entry.path()).expect("a file can be read"));
        }
    }
}

#[test]
fn the_changes_in_the_book_are_those_that_are_kept_and_read_as_shown() {
    let Some(git) = tool("git") else { return };
    let page = std::fs::read_to_string(repository("book/src/guides/history.md")).expect("the page can be read");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    let mut shown = 0;
    for block in blocks_of(&page) {
        let Some(name) = block.comment.as_ref().and_then(|text| text.trim().strip_prefix("history: ")) else {
            continue;
        };
        let workspace = Workspace::new();
        let run = |args: &[&str]| workspace.command(&git, &[&own, args].concat()).run().ok();
        run(&["init", "-q", "."]);
        for side in ["before", "after"] {
            put(&workspace, &repository("tests/golden/history").join(name).join(side));
            run(&["add", "-A"]);
            run(&["commit", "-q", "--allow-empty", "-m", side]);
        }
        let found = workspace.run(&["diff", "HEAD~1", "HEAD"]).ok().stdout;
        if partita::base::Environment::of_process().raw("PARTITA_BLESS").is_some() {
            let path = repository("book/src/guides/history.md");
            let page = std::fs::read_to_string(&path).expect("the page can be read");
            std::fs::write(&path, page.replace(&block.text, &found)).expect("the page can be written");
            shown += 1;
            continue;
        }
        assert_eq!(found, block.text, "{name}: guides/history.md:{}", block.line);
        // Nobody has to read long lines or many.
        let causes = workspace.run(&["diff", "HEAD~1", "HEAD", "--format", "json"]).ok().json()["causes"].clone();
        let causes = causes.as_u64().expect("a number") as usize;
        assert!(found.lines().count() <= 10 + 5 * causes, "{name}: {causes} causes");
        shown += 1;
    }
    let kept = WalkDir::new(repository("tests/golden/history"))
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
        .into_iter()
        .count();
    assert_eq!((shown, kept), (5, 5), "each that is kept is shown");
}
