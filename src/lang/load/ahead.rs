//! Files that will be asked for, read before they are: their texts one after the other, what they say on
//! several threads. A guess, from the lines that look like imports: a file is taken as it was read ahead only
//! if it is the source that was expected, and any other is read when its turn comes. Leaves out packages, which
//! only the loader knows, and every mistake, which is the loader's to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::base::{Limits, RelPath};
use crate::diag::SourceId;
use crate::lang::World;
use crate::lang::load::front::Front;
use crate::lang::package::{file_path, is_package};
use crate::lang::parse::Stack;
use crate::lang::parsed::ParsedSlices;
use crate::lang::stdlib::{self, PRELUDE};

/// What was read ahead, by path.
#[derive(Default)]
pub(super) struct Ahead {
    texts: BTreeMap<String, Arc<str>>,
    fronts: BTreeMap<String, Front>,
}

/// A file to read: the source that it will be, its path and its text.
type Task = (SourceId, String, Arc<str>);

impl Ahead {
    /// Reads root files, what they import, and the prelude.
    pub(super) fn read(world: &dyn World, roots: &[RelPath]) -> Self {
        let kept = world.parsed();
        let most = thread::available_parallelism().map_or(1, usize::from);
        let (queue, tasks) = mpsc::channel::<Task>();
        let tasks = Mutex::new(tasks);
        thread::scope(|scope| {
            let mut workers = Vec::new();
            let texts = follow(world, roots, &mut |task| {
                // A thread that cannot be had is one less.
                if workers.len() < most {
                    let builder = thread::Builder::new().name("partita-parse".to_owned());
                    let builder = builder.stack_size(Limits::PARSER_STACK_BYTES);
                    workers.extend(builder.spawn_scoped(scope, || work(&tasks, kept)));
                }
                // Whoever receives lives longer than this.
                drop(queue.send(task));
            });
            drop(queue);
            let done = workers.into_iter().filter_map(|worker| worker.join().ok()).flatten();
            Self { texts, fronts: done.collect() }
        })
    }

    /// The text of a file and what it says, if it was read ahead; only once.
    pub(super) fn take(&mut self, path: &str) -> Option<(Arc<str>, Option<Front>)> {
        let text = self.texts.remove(path)?;
        Some((text, self.fronts.remove(path)))
    }
}

/// Reads files until there are no more.
fn work(tasks: &Mutex<mpsc::Receiver<Task>>, kept: Option<&dyn ParsedSlices>) -> Vec<(String, Front)> {
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let one = |(source, path, text): Task| {
        let front = Front::read(Stack::Large, source, &path, &text, false, kept);
        (path, front)
    };
    std::iter::from_fn(next).map(one).collect()
}

/// Gives each file that will be asked for with the source it will be: in the order of the loader, each before
/// what it imports. Ends at the first package, of which only the loader knows what it adds.
fn follow(world: &dyn World, roots: &[RelPath], give: &mut dyn FnMut(Task)) -> BTreeMap<String, Arc<str>> {
    let mut texts = BTreeMap::new();
    let mut tried: BTreeSet<String> = BTreeSet::new();
    // The next one last.
    let mut open: Vec<String> = vec![PRELUDE.to_owned()];
    open.extend(roots.iter().rev().map(|root| root.as_str().to_owned()));
    while let Some(path) = open.pop() {
        if !tried.insert(path.clone()) || texts.len() >= Limits::SPEC_FILES {
            continue;
        }
        // One that cannot be read is no source, unless it is a root: then the others are others than expected.
        let Some(text) = text_of(world, &path) else { continue };
        let source = SourceId(texts.len() as u32);
        texts.insert(path.clone(), Arc::clone(&text));
        give((source, path.clone(), Arc::clone(&text)));
        let mut imports = Vec::new();
        for written in imports_seen(&text) {
            if is_package(written) {
                return texts;
            }
            match written.starts_with("<std>/") {
                true => imports.push(written.to_owned()),
                false => imports.extend(file_path(&path, written).filter(|_| !path.starts_with("<std>/"))),
            }
        }
        open.extend(imports.into_iter().rev());
    }
    texts
}

fn text_of(world: &dyn World, path: &str) -> Option<Arc<str>> {
    if let Some(text) = stdlib::find(path) {
        return Some(text.into());
    }
    let path = RelPath::new(path).ok().filter(|_| !path.starts_with("<std>/"))?;
    Some(String::from_utf8(world.read(&path).ok()?).ok()?.into())
}

/// What stands in quotes after the word on lines that look like imports.
fn imports_seen(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("import"));
    lines.filter_map(|rest| {
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start().strip_prefix('"')?;
        rest.split('"').next()
    })
}

#[cfg(test)]
mod tests {
    use super::{Ahead, imports_seen};
    use crate::base::RelPath;
    use crate::diag::{Diagnostics, SourceId};
    use crate::lang::MemoryWorld;
    use crate::lang::load::load;

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
        let text = "import \"./a.kdl\" as=a\n  import \"b.kdl\" as=b\nimported \"c.kdl\"\nimport\t\"d.kdl\"\r\nimport bare as=x\n";
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
}
