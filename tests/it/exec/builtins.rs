//! The kinds of action that are done in-process.

use std::collections::BTreeMap;

use partita::base::Entry;
use partita::event::Event;
use partita::plan::{ActionKind, RenderValue};

use super::support::{Draft, World, counts, failure, path, plan};

fn render(addr: &str, template: &str, vars: &[(&str, RenderValue)]) -> Draft {
    let vars: BTreeMap<String, RenderValue> =
        vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Draft::new(addr, ActionKind::Render { template: path(template), vars }).output("page")
}

#[test]
fn copying_gives_on_files_and_folders_with_their_bits() {
    let world = World::new();
    world.write("a.sh", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.ws().join("a.sh"), mode).unwrap();
    world.write("d/x", "x");
    world.write("d/e/y", "y");
    let copy =
        |addr: &str, from: &str| Draft::new(addr, ActionKind::Copy { from: path(from) }).input("a.sh").input("d/**");
    let plan = plan([
        copy("g/file", "a.sh").output("o"),
        copy("g/folder", "d").dir("o"),
        copy("g/folder-as-file", "d").output("o"),
        copy("g/missing", "b").output("o"),
        Draft::sh("g/use", "cat d/x d/e/y > o && ./a").from("d", "g/folder", "o").from("a", "g/file", "o").output("o"),
    ]);
    let report = world.run(&plan);
    assert!(matches!(report.action("g/file").unwrap().outputs[0].entry, Entry::File { exec: true, .. }));
    assert_eq!(world.text(&report, "g/use", "o"), "xy");
    assert_eq!(failure(&report, "g/folder-as-file"), "`d` is not a file, which output `o` is declared as");
    assert_eq!(failure(&report, "g/missing"), "`b` is not among the inputs");
    let report = world.run(&plan);
    assert_eq!((report.counts.cached, report.counts.failed), (3, 2));
}

#[test]
fn writing() {
    let world = World::new();
    let plan = plan([Draft::new("g/w", ActionKind::Write { text: "hello\n".into() }).output("o")]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/w", "o"), "hello\n");
    assert_eq!(world.run(&plan).counts, counts(0, 1, 0, 0, 0));
    assert!(world.events().iter().any(|event| matches!(event, Event::ActionStarted { .. })));
}

#[test]
fn rendering_sees_variables_and_staged_files_only() {
    let world = World::new();
    world.write(
        "t/page.j2",
        "{% include 't/head.j2' %}<{{ title }}>{{ body }}{% for n in list %}{{ n }},{% endfor %}{{ data.k.z }}\n\n",
    );
    world.write("t/head.j2", "head\n");
    world.write("t/undef.j2", "{% if nope %}x{% endif %}");
    world.write("t/loop.j2", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
    world.write("t/escape.j2", "{% include '../secret' %}");
    world.write("t/unstaged.j2", "{% include 'secret' %}");
    world.write("t/clock.j2", "{{ now() }}");
    world.write("secret", "secret");
    world.write("body.html", "<b>&</b>");
    world.write("data.json", r#"{"k": {"z": 1.5, "a": [true, null]}}"#);
    world.write("bad.json", "{");
    let vars = [
        ("title", RenderValue::Text("a < b".into())),
        ("body", RenderValue::File(path("body.html"))),
        ("list", RenderValue::List(vec!["x".into(), "y".into()])),
        ("data", RenderValue::Json(path("data.json"))),
    ];
    let input = |draft: Draft| draft.input("t/*").input("*.html").input("*.json");
    let plan = plan([
        input(render("g/ok", "t/page.j2", &vars)),
        input(render("g/undef", "t/undef.j2", &[])),
        input(render("g/loop", "t/loop.j2", &[])),
        input(render("g/escape", "t/escape.j2", &[])),
        input(render("g/unstaged", "t/unstaged.j2", &[])),
        input(render("g/clock", "t/clock.j2", &[])),
        input(render("g/bad", "t/page.j2", &[("data", RenderValue::Json(path("bad.json")))])),
    ]);
    let report = world.run(&plan);
    assert_eq!(world.text(&report, "g/ok", "page"), "head\n<a < b><b>&</b>x,y,1.5\n\n");
    assert!(failure(&report, "g/undef").contains("undefined"), "{}", failure(&report, "g/undef"));
    assert!(failure(&report, "g/loop").contains("fuel"), "{}", failure(&report, "g/loop"));
    for addr in ["g/escape", "g/unstaged"] {
        let text = failure(&report, addr);
        assert!(text.contains("cannot render") && !text.contains("secret\n"), "{addr}: {text}");
    }
    assert!(failure(&report, "g/clock").contains("unknown"), "{}", failure(&report, "g/clock"));
    assert!(failure(&report, "g/bad").contains("`bad.json` is not JSON"));
}

#[test]
fn merging_json() {
    let world = World::new();
    world.write("a.json", r#"{"b": {"x": 1, "y": [1]}, "n": 12345678901234567890.10}"#);
    world.write("b.json", r#"{"b": {"y": [2]}, "a": null}"#);
    let kind = ActionKind::MergeJson { from: vec![path("a.json"), path("made.json")] };
    let plan = plan([
        Draft::new("g/c", ActionKind::Copy { from: path("b.json") }).input("b.json").output("o"),
        Draft::new("g/m", kind).input("a.json").from("made.json", "g/c", "o").output("o"),
    ]);
    let report = world.run(&plan);
    let want = "{\n  \"a\": null,\n  \"b\": {\n    \"x\": 1,\n    \"y\": [\n      2\n    ]\n  },\n  \"n\": 12345678901234567890.10\n}\n";
    assert_eq!(world.text(&report, "g/m", "o"), want);
}
