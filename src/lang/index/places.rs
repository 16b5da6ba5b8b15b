//! Addresses and patterns of nodes over what is declared: which of their segments stand for which node or
//! alias, and which nodes they lead to. Keys of instances are known only by their number. Leaves out where
//! addresses are written: see `resolve`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::lang::eval::address_matches;
use crate::lang::index::model::{ScopeId, SymbolId};
use crate::lang::index::{Index, Symbol};

/// Nodes looked at for one pattern; one that needs more is answered with what was found till then.
const LOOKED_AT: usize = 100_000;

/// Segments of a pattern; one with more matches nothing.
const SEGMENTS: usize = 64;

/// What an address or pattern stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// Segments of the pattern, each with what its name is that of.
    pub(super) names: BTreeSet<(usize, SymbolId)>,
    /// Segments that may be keys of a node's instances.
    pub(super) keys: BTreeSet<(usize, SymbolId)>,
    /// Nodes that it leads to.
    pub(super) ends: BTreeSet<SymbolId>,
}

/// An address cut into segments, each with its place in the text. Holes count as `*`.
pub(super) struct Pattern {
    pub(super) segments: Vec<String>,
    ranges: Vec<Range<usize>>,
    /// Segments with a hole in them.
    pub(super) made: BTreeSet<usize>,
    /// Whether it must match addresses as a whole, keys and all.
    full: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut pattern =
            Self { segments: Vec::new(), ranges: Vec::new(), made: BTreeSet::new(), full: text.contains('*') };
        let mut start = 0;
        for end in ends(text, '/') {
            let written = &text[start..end];
            if written.contains("{{") {
                pattern.made.insert(pattern.segments.len());
            }
            pattern.segments.push(without_holes(written));
            pattern.ranges.push(start..end);
            start = end + 1;
        }
        pattern
    }

    /// Whether a segment is a name as it is.
    pub(super) fn is_plain(&self, segment: usize) -> bool {
        !self.segments[segment].contains('*')
    }
}

/// Where the pieces of a text end that a character separates, which counts outside holes only.
fn ends(text: &str, separator: char) -> Vec<usize> {
    let mut found = Vec::new();
    let mut in_hole = false;
    for (at, c) in text.char_indices() {
        match text.get(at..at + 2) {
            Some("{{") => in_hole = true,
            Some("}}") => in_hole = false,
            _ => {}
        }
        if c == separator && !in_hole {
            found.push(at);
        }
    }
    found.push(text.len());
    found
}

/// The address and the output of a reference: `node.output`. Dots in holes are none of it.
pub(super) fn split_reference(text: &str) -> (&str, Option<&str>) {
    match ends(text, '.').first() {
        Some(at) if *at < text.len() => (&text[..*at], Some(&text[at + 1..])),
        _ => (text, None),
    }
}

fn without_holes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, hole)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push('*');
        rest = hole.split_once("}}").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    // A hole is one segment, however many of them stand together.
    while plain.contains("**") && plain != "**" || plain == "**" && text.contains("{{") {
        plain = plain.replacen("**", "*", 1);
    }
    plain
}

impl Index {
    /// What an address stands for that begins in one of some scopes, or in what is around them.
    pub(super) fn matched(
        &self,
        starts: &[ScopeId],
        outwards: bool,
        pattern: &Pattern,
        renamed: Option<(SymbolId, &str)>,
    ) -> Matched {
        let mut walk =
            Walk { index: self, pattern, renamed, memo: BTreeMap::new(), looked: 0, found: Matched::default() };
        if pattern.segments.len() > SEGMENTS {
            return walk.found;
        }
        for start in starts {
            let mut at = Some(*start);
            while let Some(scope) = at {
                if walk.scope(scope, 0) {
                    return walk.found;
                }
                at = self.scopes[scope].parent.filter(|_| outwards);
            }
        }
        walk.found
    }

    /// The names in an address: each with the range of the text, and with the nodes that it leads to.
    pub(super) fn names_along(
        &self,
        starts: &[ScopeId],
        outwards: bool,
        text: &str,
    ) -> (Vec<(Range<usize>, SymbolId)>, BTreeSet<SymbolId>) {
        let pattern = Pattern::new(text);
        let found = self.matched(starts, outwards, &pattern, None);
        let mut ranges: BTreeMap<SymbolId, Vec<usize>> = BTreeMap::new();
        for (segment, symbol) in found.names.iter().filter(|(segment, _)| pattern.is_plain(*segment)) {
            ranges.entry(*symbol).or_default().push(*segment);
        }
        let mut names: Vec<(Range<usize>, SymbolId)> = Vec::new();
        for (symbol, segments) in ranges {
            // A name may have several segments itself.
            let length = self.symbols[symbol].name.split('/').count();
            for run in segments.chunks(length) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                names.push((pattern.ranges[*first].start..pattern.ranges[*last].end, symbol));
            }
        }
        names.sort_by_key(|(range, symbol)| (range.start, range.end, *symbol));
        (names, found.ends)
    }

    /// How many loops a node has: so many keys its instances have.
    fn loops(&self, node: &Symbol) -> usize {
        let loops = node.members.iter().map(|id| &self.symbols[*id]).filter(|member| member.kind == "for-each");
        loops.filter(|member| !member.over.as_ref().is_some_and(|(_, value)| *value)).count()
    }
}

struct Walk<'a> {
    index: &'a Index,
    pattern: &'a Pattern,
    renamed: Option<(SymbolId, &'a str)>,
    /// Whether the rest of the pattern from a segment on matches something in a scope.
    memo: BTreeMap<(ScopeId, usize), bool>,
    looked: usize,
    found: Matched,
}

impl Walk<'_> {
    /// What the pattern from a segment on matches in a scope: templates do not hold themselves, so this ends,
    /// and what they hold is looked at once for each segment.
    fn scope(&mut self, scope: ScopeId, from: usize) -> bool {
        if let Some(known) = self.memo.get(&(scope, from)) {
            return *known;
        }
        self.memo.insert((scope, from), false);
        let index = self.index;
        let names = &index.scopes[scope].names;
        let plain = self.pattern.segments.get(from).filter(|_| self.pattern.is_plain(from) && self.renamed.is_none());
        let first = ("node", plain.cloned().unwrap_or_default());
        let fits = |name: &str| plain.is_none_or(|plain| name.starts_with(plain.as_str()));
        let nodes = names.range(first..).take_while(|((space, name), _)| *space == "node" && fits(name));
        let mut any = false;
        for (_, id) in nodes {
            self.looked += 1;
            if self.looked > LOOKED_AT {
                break;
            }
            let name = match self.renamed {
                Some((renamed, name)) if renamed == *id => name,
                _ => &index.symbols[*id].name,
            };
            let segments: Vec<&str> = name.split('/').collect();
            any |= self.name(*id, &segments, from, &mut Vec::new());
        }
        self.memo.insert((scope, from), any);
        any
    }

    /// Whether the pattern from a segment on matches the rest of a name and what is behind it.
    fn name(&mut self, id: SymbolId, segments: &[&str], from: usize, trail: &mut Vec<usize>) -> bool {
        let Some((first, rest)) = segments.split_first() else {
            let fits = self.behind(id, from);
            if fits {
                self.found.names.extend(trail.iter().map(|at| (*at, id)));
            }
            return fits;
        };
        let mut any = false;
        let mut at = from;
        while let Some(segment) = self.pattern.segments.get(at) {
            let many = segment == "**";
            if many || address_matches(segment, first) {
                trail.push(at);
                any |= self.name(id, rest, if many { at } else { at + 1 }, trail);
                trail.pop();
            }
            if !many {
                break;
            }
            at += 1;
        }
        any
    }

    /// Whether the rest of the pattern fits what is behind a name: the nodes of a template, or keys.
    fn behind(&mut self, id: SymbolId, from: usize) -> bool {
        let index = self.index;
        let rest = &self.pattern.segments[from..];
        if index.symbols[id].kind == "use" {
            let inner: Vec<ScopeId> =
                index.applied(id).into_iter().filter_map(|applied| index.symbols[applied].inner).collect();
            let mut inside = false;
            for scope in inner {
                inside |= self.scope(scope, from);
            }
            // The alias alone is all that is under it.
            return inside || rest.is_empty() && !self.pattern.full;
        }
        let keys = index.loops(&index.symbols[id]);
        let single = rest.iter().filter(|segment| *segment != "**").count();
        let many = single < rest.len();
        let fits = if self.pattern.full { single == keys || many && single < keys } else { rest.len() <= keys };
        if fits {
            self.found.ends.insert(id);
            let plain = (from..from + rest.len()).filter(|segment| self.pattern.is_plain(*segment));
            self.found.keys.extend(plain.map(|segment| (segment, id)));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, split_reference};

    #[test]
    fn holes_are_one_segment() {
        let pattern = Pattern::new("a/x-{{ b.c }}/{{ d }}{{ e }}/**");
        assert_eq!(pattern.segments, ["a", "x-*", "*", "**"]);
        assert_eq!(pattern.made.iter().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(&"a/x-{{ b.c }}/{{ d }}{{ e }}/**"[pattern.ranges[1].clone()], "x-{{ b.c }}");
        assert_eq!(split_reference("a/{{ b.c }}.out.txt"), ("a/{{ b.c }}", Some("out.txt")));
        assert_eq!(split_reference("a"), ("a", None));
    }
}
