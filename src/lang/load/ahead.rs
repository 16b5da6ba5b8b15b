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
            if written.starts_with("<std>/") {
                imports.push(written.to_owned());
            } else if !path.starts_with("<std>/") {
                imports.extend(file_path(&path, written));
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
mod tests;
