//! Mends specs: applies the fixes that are surely what was meant, round after round until there are
//! none. A mended text is kept only if it compiles no worse than before. Leaves out files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::base::RelPath;
use crate::diag::{Applicability, Code, Diagnostic, Fix, Severity, SourceFile};
use crate::lang::{Compiled, Folder, Locked, VENDOR, World, WorldError, compile};

/// Rounds of mending: each may bring to light what the next mends.
const ROUNDS: usize = 10;

/// Compilations at most, those included by which a fix is found to do harm.
const COMPILATIONS: usize = 60;

/// A text that was mended.
#[derive(Clone, Debug)]
pub struct FixedText {
    /// The file.
    pub path: RelPath,
    /// As it was.
    pub before: String,
    /// As it is now.
    pub after: String,
    /// What was mended, in order, one for each fix.
    pub codes: Vec<Code>,
}

/// What mending gave.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The texts that changed, by path.
    pub files: Vec<FixedText>,
    /// The specs as they are now, with what is left to say.
    pub compiled: Compiled,
}

/// A world with other texts for some of its files.
struct Overlay<'a> {
    world: &'a dyn World,
    texts: BTreeMap<RelPath, String>,
}

impl World for Overlay<'_> {
    fn read(&self, path: &RelPath) -> Result<Vec<u8>, WorldError> {
        match self.texts.get(path) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => self.world.read(path),
        }
    }

    fn folder(&self, path: &RelPath) -> Result<Folder, WorldError> {
        // What is read as a whole is pinned by its digest: a mended file of it would be refused.
        self.world.folder(path)
    }

    fn package(&self, locked: &Locked) -> Result<Arc<Folder>, WorldError> {
        self.world.package(locked)
    }

    fn locked(&self) -> bool {
        self.world.locked()
    }
}

/// One fix to apply.
struct Candidate {
    code: Code,
    /// What tells it from others, wherever it is by now.
    name: (String, Code, String),
    edits: Vec<(RelPath, Range<usize>, String)>,
}

/// Mends the specs that roots reach. `skip` are codes to leave alone; `texts` are texts to begin with
/// instead of those of the world, each mended already by what it names.
pub fn fix(
    world: &dyn World,
    roots: &[RelPath],
    skip: &dyn Fn(Code) -> bool,
    texts: BTreeMap<RelPath, (String, Code)>,
) -> Fixed {
    let mut codes: BTreeMap<RelPath, Vec<Code>> =
        texts.iter().map(|(path, (_, code))| (path.clone(), vec![*code])).collect();
    let texts = texts.into_iter().map(|(path, (text, _))| (path, text)).collect();
    let mut overlay = Overlay { world, texts };
    let mut compiled = compile(&overlay, roots);
    let mut refused: BTreeSet<(String, Code, String)> = BTreeSet::new();
    let (mut rounds, mut compilations) = (0, 1);
    while rounds < ROUNDS {
        let all = candidates(&compiled, &overlay, skip, &refused);
        let mut count = all.len();
        let mut done = all.is_empty();
        while count > 0 && !done {
            if compilations >= COMPILATIONS {
                done = true;
                break;
            }
            let (texts, touched) = apply(&compiled, &all[..count]);
            let mut tried = Overlay { world, texts: overlay.texts.clone() };
            tried.texts.extend(texts);
            let after = compile(&tried, roots);
            compilations += 1;
            if no_worse(&compiled, &after, &touched) {
                for candidate in &all[..count] {
                    let files: BTreeSet<&RelPath> = candidate.edits.iter().map(|(path, ..)| path).collect();
                    for path in files {
                        codes.entry(path.clone()).or_default().push(candidate.code);
                    }
                }
                overlay = tried;
                compiled = after;
                break;
            }
            if count == 1 {
                refused.insert(all[0].name.clone());
            }
            count /= 2;
        }
        if done {
            break;
        }
        // A fix that was refused is no round: the others are still to be tried.
        rounds += usize::from(count > 0);
    }
    let original = |path: &RelPath| world.read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let files = overlay.texts.into_iter().filter_map(|(path, after)| {
        let before = original(&path)?;
        let codes = codes.remove(&path).unwrap_or_default();
        (before != after).then_some(FixedText { path, before, after, codes })
    });
    Fixed { files: files.collect(), compiled }
}

/// The fixes that are safe and touch only files of the world, none overlapping another.
fn candidates(
    compiled: &Compiled,
    overlay: &Overlay<'_>,
    skip: &dyn Fn(Code) -> bool,
    refused: &BTreeSet<(String, Code, String)>,
) -> Vec<Candidate> {
    let sources = &compiled.program.sources;
    let mut own: BTreeMap<&str, Option<RelPath>> = BTreeMap::new();
    let mut taken: BTreeMap<RelPath, Vec<Range<usize>>> = BTreeMap::new();
    let mut all = Vec::new();
    for item in compiled.diagnostics.sorted() {
        let Some(fix) = item.fixes.iter().find(|fix| fix.applicability == Applicability::MachineApplicable) else {
            continue;
        };
        let name = name_of(item, fix, compiled);
        if skip(item.code) || refused.contains(&name) {
            continue;
        }
        let edits: Option<Vec<_>> = fix
            .edits
            .iter()
            .map(|edit| {
                let file = sources.file(edit.span.source);
                let path = own.entry(&file.name).or_insert_with(|| of_world(file, overlay)).clone()?;
                let range =
                    if edit.text.is_empty() { removal(&file.text, edit.span.range()) } else { edit.span.range() };
                Some((path, range, edit.text.clone()))
            })
            .collect();
        let Some(edits) = edits else { continue };
        let free = edits.iter().all(|(path, range, _)| {
            !taken.get(path).is_some_and(|ranges| ranges.iter().any(|other| meet(other, range)))
        });
        if free {
            for (path, range, _) in &edits {
                taken.entry(path.clone()).or_default().push(range.clone());
            }
            all.push(Candidate { code: item.code, name, edits });
        }
    }
    all
}

/// Whether two edits touch: also those side by side, whose order would matter.
fn meet(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start <= other.end && other.start <= one.end
}

fn name_of(item: &Diagnostic, fix: &Fix, compiled: &Compiled) -> (String, Code, String) {
    let texts = fix.edits.iter().map(|edit| format!("{}\u{0}{}", compiled.program.sources.text(edit.span), edit.text));
    let file = compiled.program.sources.file(item.primary.span.source).name.clone();
    (file, item.code, format!("{}\u{0}{}", item.message, texts.collect::<Vec<_>>().join("\u{0}")))
}

/// The path of a source, if it is a file of the world and not of a library.
fn of_world(file: &SourceFile, overlay: &Overlay<'_>) -> Option<RelPath> {
    let path = RelPath::new(&file.name).ok()?;
    let bytes = overlay.read(&path).ok()?;
    // What was fetched is as its author wrote it.
    let is_own = !file.name.starts_with('<') && !file.name.starts_with(VENDOR);
    (is_own && bytes == file.text.as_bytes()).then_some(path)
}

/// The range of a removal: with the `;` after a node, and with the whole line if nothing else is on it.
fn removal(text: &str, range: Range<usize>) -> Range<usize> {
    let Range { start, mut end } = range;
    let blank = |c: char| matches!(c, ' ' | '\t');
    let before = text[..start].trim_end_matches(blank);
    let is_node = before.is_empty() || before.ends_with(['{', ';', '\n', '\r']);
    let rest = text[end..].trim_start_matches(blank);
    if is_node && rest.starts_with(';') {
        end = text.len() - rest.len() + 1;
    }
    let rest = text[end..].trim_start_matches(blank);
    if before.is_empty() || before.ends_with('\n') {
        if let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            return before.len()..text.len() - after.len();
        }
        if rest.is_empty() {
            return before.len()..text.len();
        }
    }
    if start == end { start..end } else { keep_apart(text, start, end) }
}

/// A removed entry takes the space before it along; something must still part its neighbours.
fn keep_apart(text: &str, start: usize, end: usize) -> Range<usize> {
    let spaced_after = text[end..].chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '}'));
    let lead = text[..start].len() - text[..start].trim_end_matches([' ', '\t']).len();
    if spaced_after && lead > 0 { start - lead..end } else { start..end }
}

type Lines = BTreeMap<String, Vec<Range<usize>>>;

/// The texts with the edits of some candidates, and the lines of the new texts that they touch.
fn apply(compiled: &Compiled, chosen: &[Candidate]) -> (BTreeMap<RelPath, String>, Lines) {
    let mut edits: BTreeMap<&RelPath, Vec<(&Range<usize>, &str)>> = BTreeMap::new();
    for (path, range, text) in chosen.iter().flat_map(|candidate| &candidate.edits) {
        edits.entry(path).or_default().push((range, text));
    }
    let mut texts = BTreeMap::new();
    let mut touched = BTreeMap::new();
    for (path, mut edits) in edits {
        let Some((_, file)) = compiled.program.sources.iter().find(|(_, file)| file.name == path.as_str()) else {
            continue;
        };
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(file.text.len());
        let mut lines = Vec::new();
        let mut at = 0;
        for (range, text) in edits {
            out.push_str(&file.text[at..range.start]);
            let from = out.len();
            out.push_str(text);
            lines.push(from..out.len());
            at = range.end;
        }
        out.push_str(&file.text[at..]);
        let line_of = |at: usize| out[..at].bytes().filter(|b| *b == b'\n').count() + 1;
        let lines = lines.into_iter().map(|range| line_of(range.start)..line_of(range.end) + 1).collect();
        touched.insert(path.as_str().to_owned(), lines);
        texts.insert(path.clone(), out);
    }
    (texts, touched)
}

/// Errors of text that is not KDL.
fn of_syntax(item: &Diagnostic) -> bool {
    item.severity == Severity::Error && item.code <= Code::P0013
}

/// Whether specs compile no worse than before: no more of them is unreadable, what was without errors
/// still is, and no error is new on a line that was touched. Mending one mistake may bring others to
/// light that were there before.
fn no_worse(before: &Compiled, after: &Compiled, touched: &Lines) -> bool {
    let syntax = |compiled: &Compiled| compiled.diagnostics.sorted().into_iter().filter(|item| of_syntax(item)).count();
    if syntax(after) > syntax(before) || !before.diagnostics.has_errors() && after.diagnostics.has_errors() {
        return false;
    }
    let errors = |compiled: &Compiled| -> BTreeSet<(Code, String)> {
        let all = compiled.diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error);
        all.map(|item| (item.code, item.message.clone())).collect()
    };
    let known = errors(before);
    after.diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error).all(|item| {
        let file = after.program.sources.file(item.primary.span.source);
        let line = file.line_column(item.primary.span.start as usize).0;
        let here = touched.get(&file.name).is_some_and(|lines| lines.iter().any(|range| range.contains(&line)));
        !here || known.contains(&(item.code, item.message.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::removal;

    #[test]
    fn a_removal_takes_its_line_or_its_space_along() {
        let cut = |text: &str, what: &str| {
            let start = text.find(what).unwrap();
            let range = removal(text, start..start + what.len());
            format!("{}|{}", &text[..range.start], &text[range.end..])
        };
        assert_eq!(cut("a {\n    b 1\n    c\n}\n", "b 1"), "a {\n|    c\n}\n");
        assert_eq!(cut("a { b 1; c }", "b 1"), "a {| c }");
        assert_eq!(cut("a { b 1; c; }", "c"), "a { b 1;| }");
        assert_eq!(cut("after a b\n", "b"), "after a|\n");
        assert_eq!(cut("after a b;c\n", "b"), "after a|;c\n");
        assert_eq!(cut("timeout (dur)\"20m\"\n", "(dur)"), "timeout |\"20m\"\n");
        assert_eq!(cut("a x=1 y=2\n", "x=1"), "a| y=2\n");
        assert_eq!(cut("a\nb", "b"), "a\n|");
    }
}
