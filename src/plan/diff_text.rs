//! A difference for people, at a terminal and in a pull request. Privileged changes come first; then
//! each graph. The number of lines is bounded by the number of causes. Leaves out forms for programs.

use std::fmt::Write;

use crate::plan::Outlook;
use crate::plan::diff::{Change, PlanDiff, Privileged, Review, Subject};
use crate::plan::diff_show::{change_line, counted, members, movement, places, propagation, safe, subject, values};

/// Lines of fields under a cause, unless all was asked for.
const FIELDS: usize = 3;
/// Forecasts of graphs that do not differ, unless all was asked for.
const FORETOLD: usize = 2;
/// Files and graphs named in one line, unless all was asked for.
const NAMED: usize = 5;

/// A difference as text. `full` lifts every bound; `color` paints for a terminal.
pub fn review_text(review: &Review, full: bool, color: bool) -> String {
    let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut out = format!("{} -> {}: {}\n", safe(&review.before), safe(&review.after), verdict(review));
    for (graph, item) in privileged(review) {
        let ways: Vec<String> = item.ways.iter().map(|(way, text)| format!("{}: {}", way.word(), safe(text))).collect();
        let _ = writeln!(
            out,
            "{} {}  {}{}",
            paint("1;31", "!"),
            paint("1", &who(graph, item)),
            ways.join("; "),
            at(&places(item.before.as_ref(), item.after.as_ref()))
        );
    }
    for graph in review.graphs.iter().filter(|graph| !graph.is_empty()) {
        let _ = writeln!(out, "{}: {}", paint("1;36", &format!("graph {}", safe(&graph.graph))), standing(graph));
        for root in &graph.roots {
            let place = at(&places(root.before.as_ref(), root.after.as_ref()));
            let _ = writeln!(out, "{} {}{place}", paint("33", "~"), subject(root));
            let shown = shown(&root.changes, full);
            for change in &root.changes[..shown] {
                let _ = writeln!(out, "    {}", change_line(change, full));
            }
            if shown < root.changes.len() {
                let _ = writeln!(out, "    and {} more fields (--full)", root.changes.len() - shown);
            }
            if full && root.members.len() > 2 {
                for addr in &root.members {
                    let _ = writeln!(out, "    at {}", safe(addr));
                }
            }
        }
        for group in &graph.moved {
            let _ =
                writeln!(out, "{} {}{}", paint("36", ">"), movement(group), at(&places(None, group.place.as_ref())));
        }
        for (sign, code, all) in [("+", "32", &graph.added), ("-", "31", &graph.removed)] {
            for group in all {
                let place = at(&places(None, group.place.as_ref()));
                let _ = writeln!(out, "{} {}{place}", paint(code, sign), members(&group.members));
                if full && group.members.len() > 2 {
                    for addr in &group.members {
                        let _ = writeln!(out, "    {}", safe(addr));
                    }
                }
            }
        }
        let _ = writeln!(out, "  {}", propagation(graph));
        if let Some(outlook) = &graph.outlook {
            let _ = writeln!(out, "  forecast: {}", paint("1", &safe(&outlook.sentence())));
        }
        if full {
            for addr in &graph.rekeyed {
                let _ = writeln!(out, "    below: {}", safe(addr));
            }
        }
    }
    for line in footer(review, full) {
        let _ = writeln!(out, "{line}");
    }
    out
}

fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("  {place}") }
}

fn shown(changes: &[Change], full: bool) -> usize {
    if full || changes.len() <= FIELDS { changes.len() } else { FIELDS - 1 }
}

pub(super) fn privileged(review: &Review) -> impl Iterator<Item = (&PlanDiff, &Privileged)> {
    review.graphs.iter().flat_map(|graph| graph.privileged.iter().map(move |item| (graph, item)))
}

pub(super) fn who(graph: &PlanDiff, item: &Privileged) -> String {
    match item.subject {
        // The address of an action says which graph it is of.
        Subject::Action => members(&item.members),
        Subject::Tool => format!("tool {} of {}", members(&item.members), safe(&graph.graph)),
        Subject::Service => format!("service {} of {}", members(&item.members), safe(&graph.graph)),
        Subject::Graph => format!("graph {}", safe(&graph.graph)),
    }
}

/// The words of a change, each once.
pub(super) fn words(item: &Privileged) -> Vec<&'static str> {
    let mut words: Vec<&str> = Vec::new();
    for (way, _) in &item.ways {
        if !words.contains(&way.word()) {
            words.push(way.word());
        }
    }
    words
}

pub(super) fn verdict(review: &Review) -> String {
    if review.is_empty() {
        return "no change of any plan".to_owned();
    }
    let privileged = match review.privileged() {
        0 => "none of them privileged".to_owned(),
        n => format!("{n} privileged"),
    };
    format!("{}, {privileged}", counted(review.causes(), "cause"))
}

pub(super) fn standing(graph: &PlanDiff) -> String {
    match (graph.before, graph.after) {
        (Some(before), Some(after)) => format!("b3:{} -> b3:{}", before.short(), after.short()),
        (None, Some(after)) => format!("new, b3:{}", after.short()),
        (Some(before), None) => format!("removed, was b3:{}", before.short()),
        (None, None) => String::new(),
    }
}

fn named(names: &[String], full: bool) -> String {
    if full || names.len() <= NAMED {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED)
}

/// What is said of the whole.
pub(super) fn footer(review: &Review, full: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let same: Vec<String> =
        review.graphs.iter().filter(|graph| graph.is_empty()).map(|graph| safe(&graph.graph)).collect();
    if !same.is_empty() && !review.is_empty() {
        lines.push(format!("unchanged: {}", named(&same, full)));
    }
    if !review.cosmetic.is_empty() {
        let files: Vec<String> = review.cosmetic.iter().map(|file| safe(file)).collect();
        lines.push(format!("cosmetic, 0 actions affected: {}", named(&files, full)));
    }
    if !review.inputs.is_empty() {
        let files: Vec<String> = review.inputs.iter().map(|(file, _)| safe(file)).collect();
        let most = review.inputs.iter().map(|(_, count)| *count).max().unwrap_or_default();
        lines.push(format!(
            "{} changed, each taken in by up to {}: {}",
            counted(files.len(), "input file"),
            counted(most, "action"),
            named(&files, full)
        ));
    }
    // Of graphs that do not differ, those that run anew do so because of files they take in.
    let busy = |graph: &&PlanDiff| graph.is_empty() && graph.outlook.as_ref().is_some_and(|found| !found.is_idle());
    let busy: Vec<&PlanDiff> = review.graphs.iter().filter(busy).collect();
    let shown = if full { busy.len() } else { busy.len().min(FORETOLD) };
    for graph in &busy[..shown] {
        let sentence = graph.outlook.as_ref().map(Outlook::sentence).unwrap_or_default();
        lines.push(format!("forecast of {}: {}", safe(&graph.graph), safe(&sentence)));
    }
    if busy.len() > shown {
        lines.push(format!("and forecasts of {} more (--full)", counted(busy.len() - shown, "graph")));
    }
    if let Some(why) = &review.unforeseen {
        lines.push(format!("no forecast: {}", safe(why)));
    }
    if !review.skipped.is_empty() {
        let skipped: Vec<String> =
            review.skipped.iter().map(|(graph, why)| format!("{} ({})", safe(graph), safe(why))).collect();
        lines.push(format!("not compared: {}", named(&skipped, full)));
    }
    lines
}

/// A difference as Markdown for a pull request: a verdict, a table of what is privileged, and the
/// rest to be unfolded.
pub fn review_markdown(review: &Review, full: bool) -> String {
    let mut out = String::from("### Partita: what this change does\n\n");
    let _ = writeln!(out, "{} → {}: **{}**.", code(&review.before), code(&review.after), verdict(review));
    if review.privileged() > 0 {
        out.push_str("\n> [!WARNING]\n> It widens what the plans may do.\n\n");
        out.push_str("| what | who | how | where |\n| --- | --- | --- | --- |\n");
        for (graph, item) in privileged(review) {
            let words = words(item);
            let texts: Vec<String> = item.ways.iter().map(|(_, text)| escape(text)).collect();
            let place = places(item.before.as_ref(), item.after.as_ref());
            let place = if place.is_empty() { String::new() } else { code(&place) };
            let _ = writeln!(
                out,
                "| **{}** | {} | {} | {place} |",
                words.join(", "),
                code(&who(graph, item)),
                texts.join("; ")
            );
        }
    }
    for graph in review.graphs.iter().filter(|graph| !graph.is_empty()) {
        let _ = writeln!(out, "\n#### Graph {}\n\n{}: {}.", code(&graph.graph), standing(graph), propagation(graph));
        if let Some(outlook) = &graph.outlook {
            let _ = writeln!(out, "\n**Forecast**: {}.", escape(&outlook.sentence()));
        }
        for root in &graph.roots {
            let place = places(root.before.as_ref(), root.after.as_ref());
            let _ = write!(out, "\n<details><summary>{}", html(&subject(root)));
            if !place.is_empty() {
                let _ = write!(out, " <i>{}</i>", escape_html(&place));
            }
            out.push_str("</summary>\n\n");
            out.push_str(&fenced(&root.changes, full));
            if root.members.len() > 2 {
                let shown = if full { root.members.len() } else { root.members.len().min(10) };
                let list: Vec<String> = root.members[..shown].iter().map(|addr| code(addr)).collect();
                let more = root.members.len() - shown;
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let alike = if root.varied { "The same fields, each with its own values" } else { "The same" };
                let _ = writeln!(out, "{alike} at {}{more}.\n", list.join(", "));
            }
            out.push_str("</details>\n");
        }
        let lists = [("Moved", "no run", &graph.moved), ("Added", "", &graph.added), ("Removed", "", &graph.removed)];
        for (title, note, all) in lists {
            if all.is_empty() {
                continue;
            }
            let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
            let _ = writeln!(out, "\n**{title}**{note}\n");
            for group in all {
                let what = if group.was.is_empty() { members(&group.members) } else { movement(group) };
                let place = places(None, group.place.as_ref());
                let place = if place.is_empty() { String::new() } else { format!(" at {}", code(&place)) };
                let _ = writeln!(out, "- {}{place}", code(&what));
            }
        }
    }
    let footer = footer(review, full);
    if !footer.is_empty() {
        out.push('\n');
        for line in footer {
            let _ = writeln!(out, "- {}", escape(&line));
        }
    }
    out
}

/// Changes as a block of the language `diff`, in a fence that nothing in it can end.
fn fenced(changes: &[Change], full: bool) -> String {
    const LINES: usize = 12;
    let mut block = String::new();
    let limit = if full { usize::MAX } else { LINES };
    for change in changes.iter().take(limit) {
        let note = if change.keyed { "" } else { " (not keyed)" };
        let _ = writeln!(block, "@@ {}{note} @@", safe(&change.field));
        let (before, after) = values(change, full);
        for (sign, value) in [("-", before), ("+", after)] {
            if let Some(value) = value {
                let _ = writeln!(block, "{sign} {value}");
            }
        }
    }
    if changes.len() > limit {
        let _ = writeln!(block, "  and {} more fields", changes.len() - limit);
    }
    let fence = "`".repeat(longest_run(&block, '`').max(2) + 1);
    format!("{fence}diff\n{block}{fence}\n\n")
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A text as a code span that it cannot leave, also in a table.
fn code(text: &str) -> String {
    let text = safe(text);
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{}{pad}{ticks}", text.replace('|', "\\|"))
}

/// A text that is read as text. Nobody is notified by a spec that names them, so `@` and `#` are broken.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn html(text: &str) -> String {
    format!("<code>{}</code>", escape_html(text))
}

fn escape_html(text: &str) -> String {
    let mut out = String::new();
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '@' => out.push_str("&#64;"),
            '*' => out.push_str("&#42;"),
            '_' => out.push_str("&#95;"),
            '`' => out.push_str("&#96;"),
            _ => out.push(c),
        }
    }
    out
}
