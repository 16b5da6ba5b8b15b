//! Each field, and which of several differences is told. Leaves out runs, which `tests/it` has.

use super::*;
use crate::base::FieldSink;

fn file(text: &str) -> Entry {
    Entry::File { digest: Digest::of_blob(text.as_bytes()), size: text.len() as u64, exec: false }
}

fn tree(entries: &[(&str, Entry)]) -> Tree {
    Tree { entries: entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect() }
}

#[derive(Clone)]
struct Sample {
    class: &'static str,
    args: Vec<&'static str>,
    env: Vec<(&'static str, &'static str)>,
    tools: Vec<(&'static str, &'static str)>,
    inputs: Tree,
}

impl Sample {
    fn new() -> Self {
        Self {
            class: "pure",
            args: vec!["-O2", "-c"],
            env: vec![("A", "1")],
            tools: vec![("cc", "12.2")],
            inputs: tree(&[("a.c", file("a")), ("gen.h", file("g"))]),
        }
    }

    fn manifest(&self) -> Manifest {
        let map = |pairs: &[(&str, &str)]| {
            Value::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect())
        };
        let mut manifest = Manifest::default();
        manifest.field(1, "schema", &Value::Int(1));
        manifest.field(2, "class", &Value::text(self.class));
        manifest.field(3, "args", &Value::texts(&self.args));
        manifest.field(4, "env", &map(&self.env));
        manifest.field(5, "inputs", &Value::tree(self.inputs.clone()));
        manifest.field(6, "tools", &map(&self.tools));
        manifest
    }

    fn key(&self) -> ActionKey {
        crate::plan::action_key(&self.manifest())
    }

    fn baseline(&self, ok: bool) -> Baseline {
        Baseline {
            levels: Vec::new(),
            addr: "g/n".into(),
            key: self.key(),
            manifest: self.manifest().to_json(),
            ok,
            run: "r1".into(),
            duration_ms: 1,
        }
    }
}

fn reason(before: &Sample, after: &Sample) -> Reason {
    let producer = |path: &str| path.starts_with("gen").then(|| "g/gen".to_owned());
    why(after.key(), &after.manifest(), Some(&before.baseline(true)), &|_| None, &producer)
}

#[test]
fn same_key_without_result() {
    let sample = Sample::new();
    let manifest = sample.manifest();
    let ask = |baseline: Option<&Baseline>| why(sample.key(), &manifest, baseline, &|_| None, &|_| None);
    assert_eq!(ask(None), Reason::NeverSeen);
    assert_eq!(ask(Some(&sample.baseline(true))), Reason::Evicted);
    assert_eq!(ask(Some(&sample.baseline(false))), Reason::PriorFailure);
    let garbled = Baseline { key: ActionKey(Digest::of_blob(b"")), manifest: "{".into(), ..sample.baseline(true) };
    assert_eq!(ask(Some(&garbled)), Reason::SchemaChanged);
}

#[test]
fn each_field_is_named() {
    let before = Sample::new();
    let mut after = before.clone();
    after.class = "fixed";
    assert_eq!(reason(&before, &after), Reason::ClassChanged);
    let mut after = before.clone();
    after.args = vec!["-O0", "-c"];
    let Reason::DefChanged { field, before: old, after: new } = reason(&before, &after) else { panic!() };
    assert_eq!((field.as_str(), old.as_str(), new.as_str()), ("args", "-O2 -c", "-O0 -c"));
    let mut after = before.clone();
    after.env = vec![("A", "1"), ("B", "")];
    assert_eq!(reason(&before, &after), Reason::EnvChanged { var: "B".into() });
    let mut after = before.clone();
    after.tools = vec![("cc", "13")];
    assert_eq!(reason(&before, &after), Reason::ToolChanged { name: "cc".into() });
    // One that is new did not change.
    after.tools = vec![("cc", "12.2"), ("ld", "2.40")];
    let Reason::DefChanged { field, before: old, after: new } = reason(&before, &after) else { panic!() };
    assert_eq!((field.as_str(), old.as_str(), new.as_str()), ("tools", "no `ld`", "`ld`"));
}

#[test]
fn inputs_before_consequences() {
    let before = Sample::new();
    let mut after = before.clone();
    after.inputs = tree(&[("a.c", file("a")), ("gen.h", file("h"))]);
    assert_eq!(reason(&before, &after), Reason::DepOutputChanged { addr: "g/gen".into(), path: "gen.h".into() });
    after.inputs = tree(&[("gen.h", file("h")), ("z.c", file("z")), ("a.c", file("a"))]);
    assert_eq!(reason(&before, &after), Reason::InputChanged { path: "z.c".into(), how: InputChange::Added });
    after.inputs = tree(&[("gen.h", file("g"))]);
    assert_eq!(reason(&before, &after), Reason::InputChanged { path: "a.c".into(), how: InputChange::Removed });
}

#[test]
fn folders_are_walked_into() {
    let (old, new) = (tree(&[("x.c", file("1")), ("y.c", file("1"))]), tree(&[("x.c", file("1")), ("y.c", file("2"))]));
    let dir = |tree: &Tree| Entry::Dir { digest: tree.digest() };
    let mut before = Sample::new();
    before.inputs = tree(&[("src", dir(&old))]);
    let mut after = before.clone();
    after.inputs = tree(&[("src", dir(&new))]);
    let level = |digest: Digest| [&old, &new].into_iter().find(|tree| tree.digest() == digest).cloned();
    let ask = |level: &Level<'_>| why(after.key(), &after.manifest(), Some(&before.baseline(true)), level, &|_| None);
    assert_eq!(ask(&level), Reason::InputChanged { path: "src/y.c".into(), how: InputChange::Edited });
    assert_eq!(ask(&|_| None), Reason::InputChanged { path: "src".into(), how: InputChange::Edited });
}

#[test]
fn two_values_that_differ_never_look_the_same() {
    let text = |text: &str| Value::text(text);
    let list = |words: &[&str]| Value::List(words.iter().map(|word| text(word)).collect());
    let long = |end: &str| text(&format!("{}{end}{}", "a".repeat(500), "b".repeat(500)));
    let map = |value: Value| Value::Map([("k".to_owned(), value)].into());
    for (before, after) in [
        (list(&["one", "two"]), list(&["one two"])),
        (list(&[""]), list(&[])),
        (list(&["a", "b c"]), list(&["a", "b", "c"])),
        (long("x"), long("y")),
        (Value::List(vec![long("x")]), Value::List(vec![long("y")])),
        (map(long("x")), map(long("y"))),
    ] {
        assert_ne!(shown(Some(&before), Some(&after)), shown(Some(&after), Some(&before)), "{before:?}");
    }
}
