//! The rules, each a function from a tree to its faults. Leaves out the tables they are given.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Snapshot};

/// The top-level module a file of `src/` belongs to; `None` for `lib.rs` and `main.rs`.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    inside.split_once('/').map(|(module, _)| module)
}

/// Every `crate::x` in `src/<m>/` is allowed by the row of `m`, every permission is used, and a row
/// lists only rows above it.
pub(super) fn layers(tree: &Snapshot, table: &[(&str, &[&str])], awaited: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, allowed) in table {
        for other in *allowed {
            if !rows.contains_key(other) {
                faults.push(format!("import table: `{module}` lists `{other}`, which does not stand above it"));
            }
        }
        if rows.insert(module, allowed.iter().copied().collect()).is_some() {
            faults.push(format!("import table: `{module}` has two rows"));
        }
    }
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in tree.rust("src/") {
        let Some(module) = module_of(path) else { continue };
        seen.insert(module);
        let Some((module, allowed)) = rows.get_key_value(module) else {
            faults.push(format!("{path}: module `{module}` has no row in the import table"));
            continue;
        };
        for (line, head) in Code::of(text).crate_heads() {
            let Some((head, _)) = rows.get_key_value(head.as_str()) else { continue };
            if head == module {
                continue;
            }
            if !allowed.contains(head) {
                faults.push(format!("{path}:{line}: `{module}` may not use `{head}`"));
            }
            used.insert((module, head));
        }
    }
    for (module, allowed) in &rows {
        if !seen.contains(module) {
            faults.push(format!("import table: there is no module `{module}`; remove its row"));
        }
        for other in allowed {
            match (used.contains(&(*module, *other)), awaited.contains(&(*module, *other))) {
                (false, false) => faults.push(format!("import table: `{module}` does not use `{other}`; remove it")),
                (true, true) => faults.push(format!("`{module}` uses `{other}` now; remove it from the awaited")),
                _ => {}
            }
        }
    }
    for (module, other) in awaited {
        if !rows.get(module).is_some_and(|allowed| allowed.contains(other)) {
            faults.push(format!("awaited: the import table does not let `{module}` use `{other}`"));
        }
    }
    faults
}

/// Every dependency has a home, every home is a dependency, and none is named elsewhere. The
/// binary's `main.rs` and `lib.rs` name none.
pub(super) fn homes(tree: &Snapshot, table: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    let declared = dependencies(tree.files.get("Cargo.toml").map_or("", String::as_str));
    let rows: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    for name in &declared {
        if !rows.contains_key(name.as_str()) {
            faults.push(format!("Cargo.toml: `{name}` has no home"));
        }
    }
    for name in rows.keys() {
        if !declared.contains(*name) {
            faults.push(format!("homes: `{name}` is not a dependency; remove its row"));
        }
    }
    for (path, text) in tree.rust("src/") {
        let code = Code::of(text);
        let module = module_of(path);
        let root = path.strip_prefix("src/").and_then(|file| file.strip_suffix(".rs"));
        for (name, homes) in &rows {
            let at_home = module.is_some_and(|module| homes.contains(&module) || homes.contains(&"*"));
            // What all modules may use, a root file may not: it has a row of its own.
            if at_home || root.is_some_and(|root| homes.contains(&root)) {
                continue;
            }
            // A crate of the same name as a module of ours is told apart by `crate::`.
            for line in code.mentions(name) {
                faults.push(format!("{path}:{line}: `{name}` is at home in {}", homes.join(", ")));
            }
        }
    }
    faults
}

/// Names in `[dependencies]`, as Rust spells them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    names
}

/// No Rust file is longer than the limit, nor the map of the architecture than its own.
pub(super) fn sizes(tree: &Snapshot, rust_max: usize, map_max: usize) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust("") {
        let lines = text.lines().count();
        if lines > rust_max {
            faults.push(format!("{path}: {lines} lines, the limit is {rust_max}"));
        }
    }
    if let Some(text) = tree.files.get("ARCHITECTURE.md") {
        let lines = text.lines().count();
        if lines > map_max {
            faults.push(format!("ARCHITECTURE.md: {lines} lines, the limit is {map_max}"));
        }
    }
    faults
}

/// Every Rust file opens with a `//!` line that says something.
pub(super) fn heads(tree: &Snapshot) -> Vec<String> {
    tree.rust("")
        .filter(|(_, text)| {
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("//! ").is_none_or(|purpose| purpose.trim().len() < 12)
        })
        .map(|(path, _)| format!("{path}: must open with a `//!` line that says what it is for"))
        .collect()
}

/// No glob imports, except `use super::*` in unit tests.
pub(super) fn globs(tree: &Snapshot) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust("") {
        let code = Code::of(text);
        let unit_tests = path.ends_with("/tests.rs") || path.contains("/tests/") && path.starts_with("src/");
        let tests_from = code.text().find("mod tests {").unwrap_or(usize::MAX);
        for (at, _) in code.text().match_indices("::*") {
            let after = code.text()[at + 3..].trim_start();
            if !after.starts_with([';', ',', '}']) {
                continue;
            }
            let excused = code.text()[..at].ends_with("super") && (unit_tests || at > tests_from);
            if !excused {
                faults.push(format!("{path}:{}: names what it imports, no `*`", code.line(at)));
            }
        }
    }
    faults
}

/// A `mod.rs` holds private `mod`s, `use` declarations with a visibility, and documentation.
pub(super) fn facades(tree: &Snapshot) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust("src/").filter(|(path, _)| path.ends_with("/mod.rs")) {
        let code = Code::of(text);
        let mut start = 0;
        let mut depth = 0_usize;
        let mut check = |start: usize, end: usize| {
            let item = without_attributes(&code.text()[start..end]);
            let fine = item.is_empty()
                || ["mod ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|head| item.starts_with(head));
            // An inline module or a function has its braces; a group of imports follows `::`.
            let body = item.find('{').is_some_and(|brace| !item[..brace].trim_end().ends_with("::"));
            if !fine || body {
                let from = start + code.text()[start..end].find(item).unwrap_or_default();
                faults.push(format!(
                    "{path}:{}: a facade holds `mod`, `pub use` and documentation only",
                    code.line(from)
                ));
            }
        };
        for (at, c) in code.text().char_indices() {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => {
                    check(start, at);
                    start = at + 1;
                }
                _ => {}
            }
        }
        check(start, code.text().len());
    }
    faults
}

/// An item without the `#[…]` before it.
fn without_attributes(item: &str) -> &str {
    let mut rest = item.trim();
    while let Some(after) = rest.strip_prefix("#[").or_else(|| rest.strip_prefix("#![")) {
        let mut depth = 1_usize;
        let close = after.char_indices().find_map(|(at, c)| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        });
        rest = close.map_or("", |at| after[at + 1..].trim_start());
    }
    rest
}

/// Every Rust file is named by a `mod` of the file above it, so that none lies about unread.
pub(super) fn unlisted(tree: &Snapshot) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, _) in tree.rust("src/").chain(tree.rust("tests/it/")) {
        let (folder, name) = path.rsplit_once('/').expect("the folders have a `/`");
        if matches!(path, "src/lib.rs" | "src/main.rs" | "tests/it/main.rs") {
            continue;
        }
        let (folder, stem) = match name {
            "mod.rs" => folder.rsplit_once('/').expect("a module lies in a folder"),
            name => (folder, name.trim_end_matches(".rs")),
        };
        let parents = match folder {
            "src" => vec!["src/lib.rs".to_owned()],
            "tests/it" => vec!["tests/it/main.rs".to_owned()],
            folder => vec![format!("{folder}/mod.rs"), format!("{folder}.rs")],
        };
        let listed = parents.iter().filter_map(|parent| tree.files.get(parent)).any(|text| {
            Code::of(text).text().lines().any(|line| {
                let line = line.trim();
                line.strip_suffix(';')
                    .and_then(|line| line.rsplit_once("mod "))
                    .is_some_and(|(before, module)| module == stem && (before.is_empty() || before.starts_with("pub")))
            })
        });
        if !listed {
            faults.push(format!("{path}: no `mod {stem};` in {}", parents.join(" or ")));
        }
    }
    faults
}

/// Nothing stands at the root that is neither listed nor ignored by git.
pub(super) fn root(tree: &Snapshot, allowed: &[&str]) -> Vec<String> {
    let ignored: BTreeSet<&str> = tree
        .files
        .get(".gitignore")
        .map_or("", String::as_str)
        .lines()
        .map(|line| line.trim().trim_matches('/'))
        .filter(|line| !line.is_empty() && !line.contains(['/', '*', '#']))
        .collect();
    tree.root
        .iter()
        .filter(|name| !allowed.contains(&name.as_str()) && !ignored.contains(name.as_str()))
        .map(|name| format!("{name}: does not belong at the root"))
        .collect()
}

/// No marks of unfinished work in any text.
pub(super) fn marks(tree: &Snapshot) -> Vec<String> {
    // Written in two halves, so that this file does not contain them.
    const MARKS: &[&str] = &[
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("db", "g!"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[ig", "nore"),
        concat!("#[should", "_panic"),
    ];
    find(tree, MARKS, |path| path == "clippy.toml", |_, before, after| !is_word(before) && !is_word(after))
        .into_iter()
        .map(|(place, mark)| format!("{place}: `{mark}` does not belong here"))
        .collect()
}

/// No folder of one machine, no host of a package registry.
pub(super) fn traces(tree: &Snapshot) -> Vec<String> {
    const PLACES: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("arti", "factory"),
        concat!("registry.", "npmjs.org"),
        concat!("py", "pi.org"),
        concat!("python", "hosted.org"),
        concat!("proxy.", "golang.org"),
    ];
    find(
        tree,
        PLACES,
        |path| path.rsplit('/').next() == Some("Cargo.lock"),
        // A folder counts where a path begins, not inside another path; a host counts everywhere.
        |wanted, before, _| {
            !wanted.starts_with('/')
                || !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}'))
        },
    )
    .into_iter()
    .map(|(place, trace)| format!("{place}: `{trace}` is of one machine"))
    .collect()
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Places of texts in files, judged by the characters before and after.
fn find<'a>(
    tree: &Snapshot,
    texts: &[&'a str],
    excused: impl Fn(&str) -> bool,
    counts: impl Fn(&str, Option<char>, Option<char>) -> bool,
) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| !excused(path)) {
        for (number, line) in text.lines().enumerate() {
            for wanted in texts {
                let hit = line.match_indices(wanted).any(|(at, _)| {
                    counts(wanted, line[..at].chars().next_back(), line[at + wanted.len()..].chars().next())
                });
                if hit {
                    found.push((format!("{path}:{}", number + 1), *wanted));
                }
            }
        }
    }
    found
}
