//! What all forms of a difference share: values cut to what differs, members as a phrase, places.
//! Nothing that a spec says reaches a terminal or a page as it is: control characters are escaped.
//! Leaves out the forms.

use crate::plan::diff::{Change, Group, Place, PlanDiff, Root, Subject};

/// Characters of a value that are shown unless all was asked for.
const WIDTH: usize = 72;
/// Characters before the first difference that are kept.
const LEAD: usize = 24;

/// Escapes control characters, and those that turn the direction of writing.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        if c.is_control() || turns {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
    }
    out
}

/// Both values of a change as they are shown: around the first difference unless in full.
pub(super) fn values(change: &Change, full: bool) -> (Option<String>, Option<String>) {
    let (before, after) = (change.before.as_deref().map(safe), change.after.as_deref().map(safe));
    if full {
        return (before, after);
    }
    let same = match (&before, &after) {
        (Some(a), Some(b)) => a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    (before.map(|text| window(&text, same)), after.map(|text| window(&text, same)))
}

fn window(text: &str, same: usize) -> String {
    let count = text.chars().count();
    if count <= WIDTH {
        return text.to_owned();
    }
    let from = same.saturating_sub(LEAD).min(count.saturating_sub(WIDTH));
    let part: String = text.chars().skip(from).take(WIDTH).collect();
    let (head, tail) = (if from > 0 { "…" } else { "" }, if from + WIDTH < count { "…" } else { "" });
    format!("{head}{part}{tail}")
}

/// A change as one line.
pub(super) fn change_line(change: &Change, full: bool) -> String {
    let field = safe(&change.field);
    let note = if change.keyed { "" } else { "  (not keyed)" };
    match values(change, full) {
        (Some(before), Some(after)) => format!("{field}: {before} -> {after}{note}"),
        (None, Some(after)) => format!("{field}: added {after}{note}"),
        (Some(before), None) => format!("{field}: removed {before}{note}"),
        (None, None) => field,
    }
}

/// Members as a phrase: the first, and how many more.
pub(super) fn members(members: &[String]) -> String {
    match members {
        [] => String::new(),
        [only] => safe(only),
        [first, second] => format!("{} and {}", safe(first), safe(second)),
        [first, rest @ ..] => format!("{} and {} more", safe(first), rest.len()),
    }
}

/// What a root is, as a phrase.
pub(super) fn subject(root: &Root) -> String {
    match root.subject {
        Subject::Graph => format!("graph {}", members(&root.members)),
        Subject::Tool => format!("tool {}", members(&root.members)),
        Subject::Service => format!("service {}", members(&root.members)),
        Subject::Action => members(&root.members),
    }
}

/// A moved group as a phrase.
pub(super) fn movement(group: &Group) -> String {
    let (from, to) = (group.was.first().map_or("", String::as_str), &group.members[0]);
    let more = group.members.len() - 1;
    let more = if more > 0 { format!(" and {more} more alike") } else { String::new() };
    format!("{} -> {}{more}", safe(from), safe(to))
}

/// Both places as a phrase.
pub(super) fn places(before: Option<&Place>, after: Option<&Place>) -> String {
    let show = |place: &Place| format!("{}:{}", safe(&place.file), place.line);
    match (before, after) {
        (Some(a), Some(b)) if a == b => show(b),
        (Some(a), Some(b)) => format!("{} -> {}", show(a), show(b)),
        (Some(one), None) | (None, Some(one)) => show(one),
        (None, None) => String::new(),
    }
}

/// What follows from the causes, in one sentence.
pub(super) fn propagation(graph: &PlanDiff) -> String {
    let facts = graph.propagation;
    let count = |n: usize| if n == 1 { "1 action".to_owned() } else { format!("{n} actions") };
    if facts.redefined == 0 && graph.rekeyed.is_empty() {
        return format!("nothing of {} is made anew", count(facts.total));
    }
    let rest = match graph.rekeyed.len() {
        0 => "nothing depends on them".to_owned(),
        n => format!("{} more below run unless what they take in comes out equal", count(n)),
    };
    format!("of {}, {} new or redefined; {rest}", count(facts.total), facts.redefined)
}

/// `n` of something, with the plural made by an `s`.
pub(super) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_around_the_difference() {
        let change = |before: &str, after: &str| Change {
            field: "text".to_owned(),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            keyed: true,
        };
        let (x, y) =
            (format!("{}x{}", "a".repeat(500), "b".repeat(500)), format!("{}y{}", "a".repeat(500), "b".repeat(500)));
        let (before, after) = values(&change(&x, &y), false);
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(before.chars().count(), WIDTH + 2);
        assert!(before.contains("aaxbb") && after.contains("aaybb"), "{before} {after}");
        assert_eq!(values(&change(&x, &y), true), (Some(x.clone()), Some(y.clone())));
        assert_eq!(change_line(&change("1", "2"), false), "text: 1 -> 2");
    }

    #[test]
    fn what_a_spec_says_cannot_steer_a_terminal() {
        assert_eq!(safe("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\nc\\u{202e}d");
    }
}
