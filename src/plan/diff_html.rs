//! A difference as a page, for those who review away from a terminal and a pull request. Privileged changes
//! come first; every cause can be folded. Leaves out the frame of pages.

use std::fmt::Write;

use crate::base::format_micro_usd;
use crate::plan::diff::{Change, Group, Place, PlanDiff, Review, Root};
use crate::plan::diff_show::{counted, members, movement, places, propagation, subject, values};
use crate::plan::diff_text::{footer, privileged, standing, verdict, who, words};
use crate::plan::page::{code, html, page, tile};

/// Causes of a graph that are open when the page is.
const OPEN: usize = 12;
/// Addresses listed of one cause, unless all was asked for.
const MEMBERS: usize = 20;
/// Fields of a cause, unless all was asked for.
const FIELDS: usize = 20;

/// A difference as an HTML page.
pub fn review_html(review: &Review, full: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<p class=\"kicker\">What this change does</p>\n<h1>{} → {}</h1>\n<p>{}.</p>",
        code(&review.before),
        code(&review.after),
        html(&verdict(review))
    );
    tiles(review, &mut out);
    warnings(review, &mut out);
    for graph in review.graphs.iter().filter(|graph| !graph.is_empty()) {
        one(graph, full, &mut out);
    }
    let footer = footer(review, full);
    if !footer.is_empty() {
        out.push_str("<h2>Besides</h2>\n<ul>\n");
        for line in footer {
            let _ = writeln!(out, "<li>{}</li>", html(&line));
        }
        out.push_str("</ul>\n");
    }
    page(&format!("{} → {}", review.before, review.after), "", &out)
}

fn tiles(review: &Review, out: &mut String) {
    let differ = review.graphs.iter().filter(|graph| !graph.is_empty()).count();
    out.push_str("<ul class=\"tiles\">\n");
    out.push_str(&tile(false, &review.causes().to_string(), if review.causes() == 1 { "cause" } else { "causes" }));
    out.push_str(&tile(review.privileged() > 0, &review.privileged().to_string(), "privileged"));
    out.push_str(&tile(false, &format!("{differ} of {}", review.graphs.len()), "graphs differ"));
    let outlooks: Vec<_> = review.graphs.iter().filter_map(|graph| graph.outlook.as_ref()).collect();
    if !outlooks.is_empty() {
        let sum = |of: &dyn Fn(&&crate::plan::Outlook) -> usize| outlooks.iter().map(of).sum::<usize>();
        let (run, may, total) = (sum(&|o| o.run), sum(&|o| o.may_run), sum(&|o| o.total));
        let text = if may > 0 { format!("{run} to {}", run + may) } else { run.to_string() };
        out.push_str(&tile(false, &text, &format!("of {total} actions run anew")));
        let usd = outlooks.iter().fold(0_u64, |sum, outlook| sum.saturating_add(outlook.most_usd));
        if usd > 0 {
            out.push_str(&tile(false, &format!("${}", format_micro_usd(usd)), "at most, to run it"));
        }
    }
    out.push_str("</ul>\n");
}

fn warnings(review: &Review, out: &mut String) {
    if review.privileged() == 0 {
        return;
    }
    out.push_str(
        "<section class=\"warning\">\n<h2>It widens what the plans may do</h2>\n<table class=\"stack\">\n\
         <thead><tr><th>what</th><th>who</th><th>how</th><th>where</th></tr></thead>\n<tbody>\n",
    );
    for (graph, item) in privileged(review) {
        let words = words(item);
        let texts: Vec<String> = item.ways.iter().map(|(_, text)| html(text)).collect();
        let _ = writeln!(
            out,
            "<tr><td class=\"word\">{}</td><td>{}</td><td>{}</td><td class=\"soft\">{}</td></tr>",
            words.join(", "),
            code(&who(graph, item)),
            texts.join("<br>"),
            html(&places(item.before.as_ref(), item.after.as_ref()))
        );
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
}

fn one(graph: &PlanDiff, full: bool, out: &mut String) {
    let _ = writeln!(
        out,
        "<h2>Graph {}</h2>\n<p class=\"soft\">{}</p>\n<p>{}.</p>",
        code(&graph.graph),
        code(&standing(graph)),
        html(&propagation(graph))
    );
    if let Some(outlook) = &graph.outlook {
        let _ = writeln!(out, "<p class=\"forecast\"><b>Forecast</b>: {}.</p>", html(&outlook.sentence()));
    }
    if !graph.roots.is_empty() {
        let _ = writeln!(out, "<h3>{} changed</h3>", counted(graph.roots.len(), "definition"));
    }
    for (index, root) in graph.roots.iter().enumerate() {
        cause(root, index < OPEN, full, out);
    }
    let lists = [("Moved: no run", &graph.moved), ("Added", &graph.added), ("Removed", &graph.removed)];
    for (title, groups) in lists {
        if groups.is_empty() {
            continue;
        }
        let _ = writeln!(out, "<h3>{title}</h3>\n<ul>");
        for group in groups {
            let _ = writeln!(out, "<li>{}{}</li>", code(&phrase(group)), at(None, group.place.as_ref()));
        }
        out.push_str("</ul>\n");
    }
    if full && !graph.rekeyed.is_empty() {
        let _ = writeln!(out, "<details><summary>{} below</summary><div>", counted(graph.rekeyed.len(), "action"));
        list(&graph.rekeyed, true, out);
        out.push_str("</div></details>\n");
    }
}

fn phrase(group: &Group) -> String {
    if group.was.is_empty() { members(&group.members) } else { movement(group) }
}

fn at(before: Option<&Place>, after: Option<&Place>) -> String {
    let place = places(before, after);
    if place.is_empty() { String::new() } else { format!(" <span class=\"soft\">{}</span>", html(&place)) }
}

fn cause(root: &Root, open: bool, full: bool, out: &mut String) {
    let _ = writeln!(
        out,
        "<details{}><summary>{}{}</summary><div>",
        if open { " open" } else { "" },
        code(&subject(root)),
        at(root.before.as_ref(), root.after.as_ref())
    );
    let shown = if full { root.changes.len() } else { root.changes.len().min(FIELDS) };
    for change in &root.changes[..shown] {
        field(change, full, out);
    }
    if shown < root.changes.len() {
        let _ = writeln!(out, "<p class=\"soft\">and {} more</p>", counted(root.changes.len() - shown, "field"));
    }
    if root.members.len() > 2 {
        let alike = if root.varied { "The same fields, each with its own values" } else { "The same" };
        let _ = writeln!(out, "<p class=\"field\">{alike} at</p>");
        list(&root.members, full, out);
    }
    out.push_str("</div></details>\n");
}

fn field(change: &Change, full: bool, out: &mut String) {
    let note = if change.keyed { "" } else { " <span class=\"tag\">not keyed: re-runs nothing</span>" };
    let _ = writeln!(out, "<p class=\"field\"><b>{}</b>{note}</p>", code(&change.field));
    let (before, after) = values(change, full);
    for (class, value) in [("old", before), ("new", after)] {
        if let Some(value) = value {
            let _ = writeln!(out, "<pre class=\"value {class}\">{}</pre>", html(&value));
        }
    }
}

fn list(addresses: &[String], full: bool, out: &mut String) {
    let shown = if full { addresses.len() } else { addresses.len().min(MEMBERS) };
    out.push_str("<ul>\n");
    for addr in &addresses[..shown] {
        let _ = writeln!(out, "<li>{}</li>", code(addr));
    }
    if shown < addresses.len() {
        let _ = writeln!(out, "<li class=\"soft\">and {} more</li>", addresses.len() - shown);
    }
    out.push_str("</ul>\n");
}
