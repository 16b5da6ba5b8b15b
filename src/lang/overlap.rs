//! Whether two patterns of paths can match one path, or a path and what lies below it. Leaves out matching paths, which
//! `globset` does; and that wildcards match no name that begins with a dot.

/// Alternatives that the braces of a pattern stand for.
const ALTERNATIVES: usize = 64;

/// Segments of a pattern, and parts of a segment, that are compared. What is longer counts as the same.
const COMPARED: usize = 64;

/// Whether there can be a path that both patterns are about. One that names a folder is about all that is in it.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (ones, others) = (alternatives(one), alternatives(other));
    ones.iter().any(|one| others.iter().any(|other| paths(one, other)))
}

/// A pattern with each of its `{a,b}` chosen. What is not closed, or too many, stays as it is, and counts as any text.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(next) = open.pop() {
        let inner = next.rfind('{').and_then(|start| Some((start, start + next[start..].find('}')?)));
        let Some((start, end)) = inner else {
            done.push(next);
            continue;
        };
        let choices: Vec<&str> = next[start + 1..end].split(',').collect();
        if open.len() + done.len() + choices.len() > ALTERNATIVES {
            done.push(format!("{}**{}", &next[..start], &next[end + 1..]));
            continue;
        }
        open.extend(choices.into_iter().map(|choice| format!("{}{choice}{}", &next[..start], &next[end + 1..])));
    }
    done
}

fn paths(one: &str, other: &str) -> bool {
    let of = |pattern: &'_ str| -> Vec<String> {
        let parts = pattern.trim_start_matches("./").split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).take(COMPARED).collect()
    };
    let (ones, others) = (of(one), of(other));
    // meets[j]: what is before here and before j can be of one path.
    let mut meets = vec![false; others.len() + 1];
    meets[0] = true;
    for i in 0..=ones.len() {
        let mut next = vec![false; others.len() + 1];
        for j in 0..=others.len() {
            if !meets[j] {
                continue;
            }
            let (left, right) = (ones.get(i), others.get(j));
            match (left, right) {
                (None, None) => return true,
                (None, Some(_)) if is_folder(&ones) => return true,
                (Some(_), None) if is_folder(&others) => return true,
                _ => {}
            }
            // It stands for nothing, or for one more segment.
            let any = |part: Option<&String>| part.is_some_and(|part| part.contains("**"));
            next[j] |= any(left) || any(right) && left.is_some();
            if right.is_some() && (any(right) || any(left)) {
                meets[j + 1] = true;
            }
            if let (Some(left), Some(right)) = (left, right)
                && segments(left, right)
            {
                next[j + 1] = true;
            }
        }
        meets = next;
    }
    false
}

/// Whether a pattern may name a folder whole: by one name, without an extension.
fn is_folder(parts: &[String]) -> bool {
    parts.last().is_some_and(|name| !name.contains(['*', '?', '[', '.']))
}

/// A part of a segment.
enum Part {
    /// Any text.
    Some,
    /// One character of those.
    One(Vec<(char, char)>, bool),
}

impl Part {
    fn meets(&self, other: &Self) -> bool {
        let (Self::One(left, not_left), Self::One(right, not_right)) = (self, other) else { return true };
        let within =
            |set: &[(char, char)], (low, high): (char, char)| set.iter().any(|(from, to)| *from <= high && low <= *to);
        match (not_left, not_right) {
            (false, false) => left.iter().any(|range| within(right, *range)),
            // One character that a set without it is not about.
            (true, false) => right.iter().any(|range| range.0 != range.1 || !within(left, *range)),
            (false, true) => left.iter().any(|range| range.0 != range.1 || !within(right, *range)),
            (true, true) => true,
        }
    }
}

fn parts(segment: &str) -> Vec<Part> {
    let mut all = Vec::new();
    let mut rest = segment.chars();
    while let Some(c) = rest.next() {
        all.push(match c {
            '*' => Part::Some,
            '?' => Part::One(Vec::new(), true),
            '[' if rest.as_str().contains(']') => {
                let inner: String = rest.by_ref().take_while(|c| *c != ']').collect();
                let (inner, negated) = match inner.strip_prefix(['!', '^']) {
                    Some(inner) => (inner, true),
                    None => (inner.as_str(), false),
                };
                let letters: Vec<char> = inner.chars().collect();
                let mut ranges = Vec::new();
                let mut at = 0;
                while let Some(from) = letters.get(at).copied() {
                    let to = letters.get(at + 2).copied().filter(|_| letters.get(at + 1) == Some(&'-'));
                    ranges.push((from, to.unwrap_or(from)));
                    at += if to.is_some() { 3 } else { 1 };
                }
                Part::One(ranges, negated)
            }
            c => Part::One(vec![(c, c)], false),
        });
    }
    all
}

/// Whether two patterns of a name can match one.
fn segments(one: &str, other: &str) -> bool {
    let (ones, others) = (parts(one), parts(other));
    if ones.len() > 4 * COMPARED || others.len() > 4 * COMPARED {
        return true;
    }
    let mut meets = vec![false; others.len() + 1];
    meets[0] = true;
    for i in 0..=ones.len() {
        let mut next = vec![false; others.len() + 1];
        for j in 0..=others.len() {
            if !meets[j] {
                continue;
            }
            let (left, right) = (ones.get(i), others.get(j));
            if left.is_none() && right.is_none() {
                return true;
            }
            if let Some(Part::Some) = left {
                next[j] = true;
                if j < others.len() {
                    meets[j + 1] = true;
                }
            }
            if let Some(Part::Some) = right {
                meets[j + 1] = true;
                if i < ones.len() {
                    next[j] = true;
                }
            }
            if let (Some(left @ Part::One(..)), Some(right @ Part::One(..))) = (left, right)
                && left.meets(right)
            {
                next[j + 1] = true;
            }
        }
        meets = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_meet_where_one_path_is_of_both() {
        for (one, other) in [
            ("src/**", "src/main.rs"),
            ("src/**", "src"),
            ("src", "src/lib/a.rs"),
            ("**/*.rs", "src/*.rs"),
            ("**", "a"),
            ("**/tests/**", "src/tests/a.rs"),
            ("a*c", "*b*"),
            ("a?c", "abc"),
            ("[a-c]x", "[c-e]x"),
            ("[!a]x", "bx"),
            ("{src,tests}/**", "tests/a"),
            ("{a,b}/{c,d}", "b/c"),
            ("*/a", "b/*"),
            ("docs/*.md", "docs/index.*"),
            ("./src/**", "src/a"),
            ("a/**/b/**/c", "a/x/b/c"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} and {other}");
        }
    }

    #[test]
    fn patterns_apart_do_not_meet() {
        for (one, other) in [
            ("src/**", "tests/**"),
            ("src/*.rs", "src/*.md"),
            ("src/a/**", "src/b/**"),
            ("src", "srcs/a"),
            ("src/a.md", "src/a.md/b"),
            ("*", "src/a"),
            ("*.rs", "src/a.rs"),
            ("a?c", "ac"),
            ("[a-c]x", "[d-e]x"),
            ("[!a]x", "ax"),
            ("{src,tests}/**", "docs/a"),
            ("a*c", "b*"),
            ("**/*.rs", "src/a.md"),
        ] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_made_to_take_long_does_not() {
        let many = "{a,b}".repeat(2_000);
        assert!(overlap(&many, "**"));
        let stars = "*a".repeat(8_000);
        assert!(overlap(&stars, &stars));
        let deep = "**/a/".repeat(3_000);
        assert!(overlap(&deep, &deep));
        assert!(!overlap("a{", "b}"));
    }
}
