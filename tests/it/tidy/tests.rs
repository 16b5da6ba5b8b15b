//! Each rule catches a planted fault and leaves a sound tree alone. Leaves out the real tree.

use super::code::Code;
use super::rules;
use super::snapshot::Snapshot;

const TABLE: &[(&str, &[&str])] = &[("base", &[]), ("store", &["base"]), ("exec", &["base", "store"])];

fn one(faults: Vec<String>, part: &str) {
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains(part), "{faults:?} does not say `{part}`");
}

fn none(faults: Vec<String>) {
    assert_eq!(faults, Vec::<String>::new());
}

fn sound() -> Vec<(&'static str, &'static str)> {
    vec![
        ("src/base/mod.rs", "//! Facts of all."),
        ("src/store/mod.rs", "//! Keeps.\nuse crate::base::Digest;\n"),
        ("src/exec/mod.rs", "//! Runs.\nuse crate::{base::Digest,\n store::{Cas, Claims}};\n"),
    ]
}

#[test]
fn layers_accept_a_sound_tree() {
    none(rules::layers(&Snapshot::of(&sound()), TABLE, &[]));
}

#[test]
fn layers_catch_an_import_upwards() {
    let mut files = sound();
    files.push(("src/store/put.rs", "//! Puts.\nfn a() {}\nuse crate::exec::Run;\n"));
    one(rules::layers(&Snapshot::of(&files), TABLE, &[]), "src/store/put.rs:3: `store` may not use `exec`");
}

#[test]
fn layers_catch_an_import_within_a_group_and_within_a_path() {
    let mut files = sound();
    files.push(("src/base/a.rs", "//! A.\nuse crate::{\n    base::x,\n    store::{y, z},\n};\n"));
    one(rules::layers(&Snapshot::of(&files), TABLE, &[]), "src/base/a.rs:4: `base` may not use `store`");
    let mut files = sound();
    files.push(("src/base/a.rs", "//! A.\nfn f() { let _ = crate::exec::run(); }\n"));
    one(rules::layers(&Snapshot::of(&files), TABLE, &[]), "`base` may not use `exec`");
}

#[test]
fn layers_do_not_read_comments_and_strings() {
    let mut files = sound();
    files.push((
        "src/base/a.rs",
        "//! crate::exec\n/* crate::exec::a /* crate::exec::b */ crate::exec::c */\nconst A: &str = \"\\\"crate::exec::d\n\
         crate::exec::e\";\nconst B: &str = r#\"\" crate::exec::f\"#;\nfn q<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\n",
    ));
    none(rules::layers(&Snapshot::of(&files), TABLE, &[]));
}

#[test]
fn layers_catch_permissions_that_are_not_used() {
    let mut files = sound();
    files[2].1 = "//! Runs.\nuse crate::store::Cas;\n";
    one(rules::layers(&Snapshot::of(&files), TABLE, &[]), "`exec` does not use `base`; remove it");
    none(rules::layers(&Snapshot::of(&files), TABLE, &[("exec", "base")]));
    one(
        rules::layers(&Snapshot::of(&files), TABLE, &[("exec", "base"), ("exec", "store")]),
        "`exec` uses `store` now; remove it from the awaited",
    );
    one(
        rules::layers(&Snapshot::of(&files), TABLE, &[("exec", "base"), ("base", "store")]),
        "does not let `base` use `store`",
    );
}

#[test]
fn layers_catch_a_row_that_looks_down_and_one_too_many_or_too_few() {
    let table: &[(&str, &[&str])] = &[("store", &["base"]), ("base", &[]), ("exec", &["base", "store"])];
    one(rules::layers(&Snapshot::of(&sound()), table, &[]), "`store` lists `base`, which does not stand above it");
    let mut files = sound();
    files.push(("src/web/mod.rs", "//! Shows."));
    one(rules::layers(&Snapshot::of(&files), TABLE, &[]), "module `web` has no row");
    let table: &[(&str, &[&str])] = &[("base", &[]), ("store", &["base"]), ("exec", &["base", "store"]), ("tui", &[])];
    one(rules::layers(&Snapshot::of(&sound()), table, &[]), "there is no module `tui`");
}

#[test]
fn homes_catch_strangers_in_both_directions() {
    let manifest =
        ("Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\nzip = \"9\"\ndata-encoding = { }\n[lints]\na = 1\n");
    let table: &[(&str, &[&str])] = &[("zip", &["bundle"]), ("data_encoding", &["*"])];
    let tree = |path, text| Snapshot::of(&[manifest, (path, text)]);
    none(rules::homes(&tree("src/bundle/a.rs", "use zip::ZipWriter;"), table));
    none(rules::homes(
        &tree("src/store/a.rs", "use data_encoding::HEXLOWER; fn f() { a.zip(b); iter::zip(c); }"),
        table,
    ));
    one(
        rules::homes(&tree("src/store/a.rs", "\nuse zip::ZipWriter;"), table),
        "src/store/a.rs:2: `zip` is at home in bundle",
    );
    one(rules::homes(&tree("src/store/a.rs", "use zip;"), table), "src/store/a.rs:1");
    one(rules::homes(&tree("src/store/a.rs", "fn f() -> ::zip::X {}"), table), "src/store/a.rs:1");
    one(rules::homes(&tree("src/main.rs", "fn f() { data_encoding::x() }"), table), "src/main.rs:1");
    none(rules::homes(&tree("src/main.rs", "fn f() { zip::x() }"), &[("zip", &["main"]), ("data_encoding", &["*"])]));
    one(rules::homes(&tree("src/a/b.rs", ""), &table[..1]), "`data_encoding` has no home");
    let more: &[(&str, &[&str])] = &[("zip", &["bundle"]), ("data_encoding", &["*"]), ("rand", &["base"])];
    one(rules::homes(&tree("src/a/b.rs", ""), more), "`rand` is not a dependency");
}

#[test]
fn sizes_and_heads_catch_long_and_silent_files() {
    let long = "//! Says what it is for.\n".repeat(11);
    let tree =
        Snapshot::of(&[("src/a.rs", &long), ("src/b.rs", "//! Says what it is for.\n"), ("ARCHITECTURE.md", "a\nb\n")]);
    one(rules::sizes(&tree, 10, 2), "src/a.rs: 11 lines, the limit is 10");
    one(rules::sizes(&tree, 11, 1), "ARCHITECTURE.md: 2 lines");
    none(rules::heads(&tree));
    let tree = Snapshot::of(&[("src/a.rs", "use x;\n"), ("src/b.rs", "//! Things.\n"), ("src/c.rs", "")]);
    assert_eq!(rules::heads(&tree).len(), 3);
}

#[test]
fn globs_are_caught_and_unit_tests_excused() {
    let tree = |path, text| Snapshot::of(&[(path, text)]);
    one(rules::globs(&tree("src/a.rs", "use crate::base::*;")), "src/a.rs:1");
    one(rules::globs(&tree("src/a.rs", "use crate::base::{a,\n b::*};")), "src/a.rs:2");
    one(rules::globs(&tree("src/a.rs", "use super::*;")), "src/a.rs:1");
    one(rules::globs(&tree("src/a.rs", "mod tests {\n use crate::base::*;\n}")), "src/a.rs:2");
    none(rules::globs(&tree("src/a/tests.rs", "use super::*;")));
    none(rules::globs(&tree("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}")));
}

#[test]
fn facades_hold_no_logic() {
    let tree = |text| Snapshot::of(&[("src/a/mod.rs", text)]);
    none(rules::facades(&tree(
        "//! Doc.\n\nmod x;\n#[cfg(test)]\nmod tests;\n\npub use x::{A, b::C};\npub(crate) use x::D;\n#[expect(a, reason = \"b; c\")]\npub use x::E;\n",
    )));
    one(rules::facades(&tree("//! Doc.\nmod x;\nfn f() {}\n")), "src/a/mod.rs:3");
    one(rules::facades(&tree("//! Doc.\npub mod x;\n")), "src/a/mod.rs:2");
    one(rules::facades(&tree("//! Doc.\nmod x;\nconst A: u8 = 1;\n")), "src/a/mod.rs:3");
    one(rules::facades(&tree("//! Doc.\nmod x;\nmod tests { fn f() { a(); } }\n")), "src/a/mod.rs:3");
}

#[test]
fn unlisted_files_are_caught_in_tests_and_sources() {
    let tree = Snapshot::of(&[
        ("tests/it/main.rs", "//! All.\nmod support;\nmod tidy;\n// mod plan;\n"),
        ("tests/it/support/mod.rs", "//! Help.\nmod golden;\npub(crate) use golden::check;"),
        ("tests/it/support/golden.rs", ""),
        ("tests/it/support/lost.rs", ""),
        ("tests/it/tidy.rs", "mod rules;"),
        ("tests/it/tidy/rules.rs", ""),
        ("tests/it/plan.rs", ""),
        ("src/lib.rs", "pub mod base;"),
        ("src/base/mod.rs", "mod canon;"),
        ("src/base/canon.rs", ""),
        ("src/base/orphan.rs", ""),
    ]);
    let faults = rules::unlisted(&tree);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("src/base/orphan.rs: no `mod orphan;` in src/base/mod.rs"), "{faults:?}");
    assert!(faults[1].starts_with("tests/it/plan.rs: no `mod plan;` in tests/it/main.rs"), "{faults:?}");
    assert!(faults[2].starts_with("tests/it/support/lost.rs: no `mod lost;`"), "{faults:?}");
}

#[test]
fn the_root_is_a_closed_list() {
    let tree = Snapshot::of(&[
        (".gitignore", "/target\n**/.partita/\n"),
        ("target/x", ""),
        ("src/a.rs", ""),
        ("notes.txt", ""),
    ]);
    one(rules::root(&tree, &["src", ".gitignore"]), "notes.txt: does not belong at the root");
}

#[test]
fn marks_are_words_not_parts_of_words() {
    let mark = concat!("FIX", "ME");
    let tree = Snapshot::of(&[("src/a.rs", &format!("a\n// {mark}: later\n"))]);
    one(rules::marks(&tree), "src/a.rs:2");
    let macro_call = concat!("fn f() { to", "do!() }");
    one(rules::marks(&Snapshot::of(&[("src/a.rs", macro_call)])), "src/a.rs:1");
    let attribute = concat!("#[ig", "nore = \"slow\"]");
    one(rules::marks(&Snapshot::of(&[("tests/it/a.rs", attribute)])), "tests/it/a.rs:1");
    none(rules::marks(&Snapshot::of(&[("a.sh", concat!("mktemp a.XX", "XXXX"))])));
}

#[test]
fn traces_of_a_machine_are_caught() {
    let place = concat!("see /ho", "me/ann/x");
    one(rules::traces(&Snapshot::of(&[("book/a.md", place)])), "book/a.md:1");
    let host = concat!("https://index.", "crates.io/x");
    one(rules::traces(&Snapshot::of(&[("a.toml", host)])), "a.toml:1");
    none(rules::traces(&Snapshot::of(&[("Cargo.lock", host)])));
    none(rules::traces(&Snapshot::of(&[("book/a.md", concat!("$DIR/wo", "rk/x and a/ro", "ot/b"))])));
}

#[test]
fn code_keeps_lines_and_lifetimes() {
    let code = Code::of("fn f<'a>(x: &'a str) -> char {\n    '\\u{41}'\n} // end\n");
    assert_eq!(code.text().lines().count(), 3);
    assert!(code.text().contains("fn f<'a>(x: &'a str)"));
    assert!(!code.text().contains("u{41}") && !code.text().contains("end"));
}
