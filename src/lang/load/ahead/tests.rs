//! That reading ahead, and what was parsed before, change nothing about what comes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Ahead, imports_seen};
use crate::base::{Digest, RelPath};
use crate::diag::{Diagnostics, SourceId};
use crate::lang::load::{load, load_with};
use crate::lang::package::{Folder, Locked};
use crate::lang::parsed::ParsedSlices;
use crate::lang::{Compiled, MemoryWorld, World, WorldError, compile_loaded};

fn world(files: &[(&str, &str)]) -> MemoryWorld {
    let mut world = MemoryWorld::default();
    for (path, text) in files {
        world.insert(RelPath::new(path).expect("a path"), text);
    }
    world
}

fn roots() -> Vec<RelPath> {
    vec![RelPath::new("partita.kdl").expect("a path")]
}

#[test]
fn imports_are_seen_where_they_begin_a_line() {
    let text =
        "import \"./a.kdl\" as=a\n  import \"b.kdl\" as=b\nimported \"c.kdl\"\nimport\t\"d.kdl\"\r\nimport bare as=x\n";
    assert_eq!(imports_seen(text).collect::<Vec<_>>(), ["./a.kdl", "d.kdl"]);
}

#[test]
fn sources_are_those_of_the_loader() {
    let world = world(&[
        (
            "partita.kdl",
            "partita edition=1\nimport \"./lib/a.kdl\" as=a\nimport \"<std>/cc\" as=cc\nimport \"lost.kdl\" as=l\nimport \"b.kdl\" as=b\n",
        ),
        ("lib/a.kdl", "partita edition=1\nimport \"../b.kdl\" as=b\nimport \"c.kdl\" as=c\n"),
        ("lib/c.kdl", "partita edition=1\nimport \"../partita.kdl\" as=p\n"),
        ("b.kdl", "partita edition=1\n"),
    ]);
    let ahead = Ahead::read(&world, &roots());
    let program = load(&world, &roots(), &mut Diagnostics::default());
    assert!(ahead.fronts.len() >= 6);
    for (path, front) in &ahead.fronts {
        assert_eq!(&program.sources.file(front.source).name, path);
    }
    assert_eq!(program.files.len(), ahead.fronts.len());
}

#[test]
fn what_is_otherwise_than_expected_is_read_when_its_turn_comes() {
    // The line in the text is no import, and one that begins later is.
    let root = "partita edition=1\nlet x type=string \"\"\"\nimport \"b.kdl\" as=b\n\"\"\"\n import \"./c.kdl\" as=c\nimport \"d.kdl\" as=d\n";
    let one = "partita edition=1\nlet one type=int 1\n";
    let world = world(&[("partita.kdl", root), ("b.kdl", one), ("c.kdl", one), ("d.kdl", one)]);
    let mut found = Diagnostics::default();
    let program = load(&world, &roots(), &mut found);
    assert!(found.is_empty(), "{found:?}");
    let paths: Vec<&str> = program.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["partita.kdl", "c.kdl", "d.kdl", "<std>/posix"]);
    for (at, file) in program.files.iter().enumerate() {
        assert_eq!(file.source, SourceId(at as u32));
        assert!(file.decls.lets.iter().all(|decl| decl.name.span.source == file.source));
    }
}

/// A world whose slices are kept, as a front keeps them.
struct Keeping {
    world: MemoryWorld,
    known: BTreeMap<Digest, Vec<u8>>,
    new: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl ParsedSlices for Keeping {
    fn get(&self, slice: Digest) -> Option<&[u8]> {
        self.known.get(&slice).map(Vec::as_slice)
    }

    fn put(&self, slice: Digest, encoded: Vec<u8>) {
        self.new.lock().expect("no panic while held").insert(slice, encoded);
    }

    fn decoder(&self) -> Option<Digest> {
        Some(Digest::of_blob(b"this one"))
    }
}

impl World for Keeping {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        self.world.read(path)
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        self.world.folder(path)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.world.package(locked)
    }

    fn parsed(&self) -> Option<&dyn ParsedSlices> {
        Some(self)
    }
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

const FILES: usize = 5;

/// A workspace of several files, some of which import others in ways that a glance may mistake.
fn workspace(numbers: &mut Numbers) -> Vec<(String, String)> {
    let path = |at: usize| if at == 0 { "partita.kdl".to_owned() } else { format!("lib/f{at}.kdl") };
    let mut files = Vec::new();
    for at in 0..FILES {
        let mut text = String::from("partita edition=1\n");
        let mut uses = String::new();
        for other in 1..FILES {
            let from = if at == 0 { format!("./lib/f{other}.kdl") } else { format!("f{other}.kdl") };
            let import = format!("import \"{from}\" as=f{other}");
            match numbers.below(9) {
                // Most import those after them alone, so that cycles are rare.
                0..4 if other > at => {
                    text += &format!("{import}\n");
                    uses += &format!("    use f{other}.t as=u{other}\n");
                }
                4 => text += &format!("  {import}\n"),
                5 => text += &format!("/*\n{import}\n*/\n"),
                6 => text += &format!("/-{import}\n"),
                7 if numbers.below(4) == 0 => text += "import \"<std>/cc\" as=cc\nimport \"lost.kdl\" as=lost\n",
                _ => {}
            }
        }
        text += &format!("let l{at} type=list<string> {{\n    - a\n    - b\n}}\n");
        let node = "    node n {\n        for-each x { - 1; - 2 }\n        input \"in/{{ x }}\"\n        copy \"in/{{ x }}\"\n        output o\n    }\n";
        let word = if at == 0 { "graph g" } else { "template t" };
        text += &format!("{word} {{\n{uses}{node}}}\n");
        files.push((path(at), text));
    }
    files
}

/// Changes one text a little.
fn edit(files: &mut [(String, String)], numbers: &mut Numbers) {
    const PIECES: [&str; 9] =
        ["\n", " ", "import \"f3.kdl\" as=f3\n", "{", "}", "x", "// a\n", "\"", "let more type=int 1\n"];
    let (_, text) = &mut files[numbers.below(FILES)];
    let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    let at = if numbers.below(3) > 0 { lines[numbers.below(lines.len())] } else { numbers.below(text.len()) };
    if numbers.below(3) == 0 && at < text.len() {
        text.remove(at);
    } else {
        text.insert_str(at, PIECES[numbers.below(PIECES.len())]);
    }
}

/// All that is said of a compilation, and what its graphs come to.
fn told(compiled: &Compiled) -> String {
    let sources: Vec<&str> = compiled.program.sources.iter().map(|(_, source)| source.name.as_str()).collect();
    format!("{sources:?}\n{:#?}\n{:#?}", compiled.diagnostics.sorted(), compiled.expansions)
}

#[test]
fn what_comes_of_edits_is_what_comes_of_everything_anew() {
    const ROUNDS: u64 = 60;
    let (mut sound, mut unsound) = (0, 0);
    for seed in 0..ROUNDS {
        let mut numbers = Numbers(seed);
        let mut files = workspace(&mut numbers);
        let mut known = BTreeMap::new();
        for turn in 0..5 {
            if turn > 0 {
                edit(&mut files, &mut numbers);
            }
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            let plain = world(&files);
            let mut found = Diagnostics::default();
            let program = load_with(&plain, &roots(), Ahead::default(), &mut found);
            let anew = compile_loaded(program, found);
            let keeping = Keeping { world: plain, known, new: Mutex::default() };
            let mut found = Diagnostics::default();
            let program = load(&keeping, &roots(), &mut found);
            assert_eq!(told(&compile_loaded(program, found)), told(&anew), "seed {seed}, edit {turn}: {files:#?}");
            *if anew.diagnostics.has_errors() { &mut unsound } else { &mut sound } += 1;
            known = keeping.known;
            known.extend(keeping.new.into_inner().expect("no panic while held"));
        }
    }
    assert!(sound > ROUNDS / 2 && unsound > ROUNDS / 2, "{sound} sound, {unsound} not");
}
