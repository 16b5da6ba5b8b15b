//! A run as a page: when each action ran, and the critical path, which is the chain of actions that decided
//! how long the run took. Leaves out the frame of pages, and what actions printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Timestamp, format_duration};
use crate::event::Outcome;
use crate::ops::Error;
use crate::ops::check::{find_graph, plan};
use crate::ops::history::{describe, find_run, history, journal};
use crate::ops::journals::{Course, Slice, course};
use crate::ops::workspace::Workspace;
use crate::plan::{ActionId, Plan, html_code, html_page, html_text, html_tile};

const CSS: &str = include_str!("timeline.css");
/// Actions with a row of their own: those of the critical path, and those that took longest.
const ROWS: usize = 150;

/// What decided how long a run took.
pub(super) struct Critical {
    /// Attempts by their index, the first first.
    pub(super) way: Vec<usize>,
    /// Whether the plan is at hand, so that each waited for the one before; else they only followed in time.
    pub(super) is_known: bool,
}

/// The page of a run; without one, of the last. The chain follows dependencies if the plan of the run is
/// that of the specs at hand.
pub fn timeline(
    workspace: &mut Workspace,
    run: Option<&str>,
    params: &BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
) -> Result<String, Error> {
    let row = {
        let history = history(workspace, clock)?;
        match run {
            Some(run) => find_run(&history, run)?,
            None => {
                let newest = history.runs()?.into_iter().next();
                newest.ok_or_else(|| Error::usage("nothing has been run in this workspace yet"))?
            }
        }
    };
    let journal = journal(&workspace.state, &row.id)?;
    if journal.is_empty() {
        return Err(Error::usage(format!("run {} left no journal", row.id)));
    }
    let course = course(&journal);
    let graph = course.target.split([' ', '/']).next().unwrap_or_default().to_owned();
    let planned =
        if find_graph(&workspace.compiled, &graph).is_ok() { plan(workspace, &graph, params).ok() } else { None };
    let plan = planned.map(|planned| planned.plan).filter(|plan| plan.digest.hex() == course.plan);
    let critical = critical(&course, plan.as_deref());
    Ok(render(&row.id, &course, &critical))
}

/// The chain of attempts that ends last: before each, what it waited for that ended last. That is another attempt at
/// the same, something that it takes in, or, if all workers were at work, what made one of them free.
pub(super) fn critical(course: &Course, plan: Option<&Plan>) -> Critical {
    let slices = &course.slices;
    let workers = slices.iter().map(|slice| slice.line + 1).max().unwrap_or(0);
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, slice) in slices.iter().enumerate() {
        last.insert(&slice.addr, index);
    }
    let by_end = |index: &usize| (slices[*index].to, std::cmp::Reverse(*index));
    let mut way = Vec::new();
    let mut taken = BTreeSet::new();
    let mut at = (0..slices.len()).max_by_key(by_end);
    while let Some(index) = at {
        way.push(index);
        taken.insert(index);
        let slice = &slices[index];
        let before = |other: &usize| slices[*other].to <= slice.from && !taken.contains(other);
        let ended_last = (0..slices.len()).filter(before).max_by_key(by_end);
        let Some(plan) = plan else {
            at = ended_last;
            continue;
        };
        // Another attempt at the same comes after the one before, whatever the plan says.
        let again = (0..slices.len()).filter(|other| slices[*other].addr == slice.addr).filter(before);
        let taken_in = plan.find(&slice.addr).map(|id| above(plan, id, &last)).unwrap_or_default();
        let waited = again.chain(taken_in.into_iter().filter(before)).max_by_key(by_end);
        let until = |index: usize| {
            let to = slices[index].to;
            slices.iter().filter(|slice| slice.from < to && to <= slice.to).count() >= workers
        };
        let freed = ended_last.filter(|index| until(*index));
        at = waited.into_iter().chain(freed).max_by_key(by_end);
    }
    way.reverse();
    Critical { way, is_known: plan.is_some() }
}

/// The last attempts that an action waits for, by way of what was known as well.
fn above(plan: &Plan, id: ActionId, last: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut open = plan.action(id).dependencies();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match last.get(plan.action(id).addr.as_str()) {
            // What lies above that ended before it began.
            Some(index) => found.push(*index),
            None => open.extend(plan.action(id).dependencies()),
        }
    }
    found
}

fn time(nanos: i64) -> String {
    format_duration(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

fn outcome(slice: &Slice) -> &'static str {
    match &slice.end {
        Ok(end) if end.outcome == Outcome::Failed => "failed",
        Ok(_) => "ran",
        Err(_) => "failed",
    }
}

fn bar(course: &Course, slice: &Slice, is_long: bool) -> String {
    // Parts in ten thousand, as CSS percent with two decimals.
    let whole = course.length.max(1);
    let share = |nanos: i64| i128::from(nanos) * 10_000 / i128::from(whole);
    let percent = |parts: i128| format!("{}.{:02}%", parts / 100, parts % 100);
    let long = if is_long { " long" } else { "" };
    format!(
        "<i class=\"{}{long}\" style=\"left:{};width:{}\" title=\"{} {}\"></i>",
        outcome(slice),
        percent(share(slice.from)),
        percent(share(slice.to.saturating_sub(slice.from).max(0))),
        html_text(&slice.addr),
        time(slice.to.saturating_sub(slice.from))
    )
}

fn render(run: &str, course: &Course, critical: &Critical) -> String {
    let long: BTreeSet<usize> = critical.way.iter().copied().collect();
    let mut out = format!(
        "<p class=\"kicker\">Run</p>\n<h1>{}</h1>\n<p class=\"soft\">Run {}, begun {}; plan <code>b3:{}</code>.</p>\n",
        html_code(&course.target),
        html_code(run),
        html_text(&Timestamp(course.begun).to_string()),
        html_text(&course.plan)
    );
    let work: i64 = course.slices.iter().map(|slice| slice.to.saturating_sub(slice.from)).sum();
    let failed = course.slices.iter().filter(|slice| outcome(slice) == "failed" && slice.end.is_ok()).count();
    let lanes = course.slices.iter().map(|slice| slice.line + 1).max().unwrap_or(0);
    let chain: i64 = critical.way.iter().map(|index| course.slices[*index].to - course.slices[*index].from).sum();
    out.push_str("<ul class=\"tiles\">\n");
    out.push_str(&html_tile(false, &time(course.length), "from start to end"));
    out.push_str(&html_tile(false, &time(work), &format!("of work, up to {lanes} at once")));
    out.push_str(&html_tile(false, &time(chain), "on the critical path"));
    let done: BTreeSet<&str> = course.slices.iter().map(|slice| slice.addr.as_str()).collect();
    out.push_str(&html_tile(
        false,
        &done.len().to_string(),
        &format!("of {} actions ran", done.len() + course.known.len()),
    ));
    if failed > 0 {
        out.push_str(&html_tile(true, &failed.to_string(), "failed"));
    }
    out.push_str("</ul>\n");
    if course.slices.is_empty() {
        out.push_str("<p>Nothing had to run.</p>\n");
    } else {
        path(course, critical, &mut out);
        lines(course, lanes, &long, &mut out);
        rows(course, &long, &mut out);
    }
    known(course, &mut out);
    html_page(&format!("Run of {}", course.target), CSS, &out)
}

fn path(course: &Course, critical: &Critical, out: &mut String) {
    let says = if critical.is_known {
        "The actions that decided how long the run took: each waited for the one before."
    } else {
        "The attempts that followed on each other up to the end. The plan of this run is not that of the specs at hand, so \
         what waited for what is not known."
    };
    let _ = writeln!(
        out,
        "<h2>Critical path</h2>\n<p class=\"soft\">{says}</p>\n<table>\n<thead><tr><th>action</th><th class=\"number\">\
         from</th><th class=\"number\">took</th></tr></thead>\n<tbody>"
    );
    for index in &critical.way {
        let slice = &course.slices[*index];
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            html_code(&slice.addr),
            time(slice.from),
            time(slice.to.saturating_sub(slice.from))
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

/// All attempts, on as few lines as there were at once.
fn lines(course: &Course, lanes: usize, long: &BTreeSet<usize>, out: &mut String) {
    out.push_str(
        "<h2>Time line</h2>\n<p class=\"soft\"><span class=\"dot\"></span>ran <span class=\"dot failed\"></span>failed \
         <span class=\"dot long\"></span>on the critical path</p>\n<div class=\"lanes\">\n",
    );
    for line in 0..lanes {
        out.push_str("<div class=\"track\">");
        for (index, slice) in course.slices.iter().enumerate().filter(|(_, slice)| slice.line == line) {
            out.push_str(&bar(course, slice, long.contains(&index)));
        }
        out.push_str("</div>\n");
    }
    let quarter = |n: i64| time(course.length / 4 * n);
    let _ = writeln!(
        out,
        "</div>\n<div class=\"axis\"><span>0</span><span>{}</span><span>{}</span><span>{}</span><span>{}</span></div>",
        quarter(1),
        quarter(2),
        quarter(3),
        time(course.length)
    );
}

/// A sentence of bounded length.
fn brief(text: &str) -> String {
    const LENGTH: usize = 180;
    if text.chars().count() <= LENGTH {
        return text.to_owned();
    }
    text.chars().take(LENGTH).chain(['…']).collect()
}

fn rows(course: &Course, long: &BTreeSet<usize>, out: &mut String) {
    let mut shown: Vec<usize> = (0..course.slices.len()).collect();
    shown.sort_by_key(|index| {
        let slice = &course.slices[*index];
        (!long.contains(index), outcome(slice) != "failed", std::cmp::Reverse(slice.to - slice.from), *index)
    });
    shown.truncate(ROWS);
    shown.sort_by_key(|index| (course.slices[*index].from, *index));
    out.push_str("<h2>Actions</h2>\n<ul class=\"rows\">\n");
    for index in &shown {
        let slice = &course.slices[*index];
        let why = match (&slice.failure, &slice.end) {
            (Some(failure), _) => failure.clone(),
            (None, Ok(end)) => brief(&describe(&end.reason)),
            (None, Err(_)) => String::new(),
        };
        let again = if slice.attempt > 1 { format!(" attempt {}", slice.attempt) } else { String::new() };
        let _ = writeln!(
            out,
            "<li><span class=\"name\">{}{again}</span><span class=\"track\">{}</span><span class=\"took\">{}</span>\
             <span class=\"why\">{}</span></li>",
            html_code(&slice.addr),
            bar(course, slice, long.contains(index)),
            time(slice.to.saturating_sub(slice.from)),
            html_text(&why)
        );
    }
    out.push_str("</ul>\n");
    if shown.len() < course.slices.len() {
        let _ = writeln!(out, "<p class=\"soft\">and {} more that took less</p>", course.slices.len() - shown.len());
    }
}

/// What did not run, by how it ended and why.
fn known(course: &Course, out: &mut String) {
    let mut groups: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for (addr, _, end) in &course.known {
        let word = match end.outcome {
            Outcome::Cached => "known",
            Outcome::CutOff => "cut off",
            Outcome::Skipped => "not tried",
            Outcome::Ran => "ran",
            Outcome::Failed => "failed",
        };
        groups.entry((word.to_owned(), describe(&end.reason))).or_default().push(addr);
    }
    if groups.is_empty() {
        return;
    }
    out.push_str("<h2>What did not run</h2>\n");
    for ((word, why), addresses) in groups {
        let _ = writeln!(out, "<details><summary>{} {word}: {}</summary><div><ul>", addresses.len(), html_text(&why));
        for addr in addresses.iter().take(ROWS) {
            let _ = writeln!(out, "<li>{}</li>", html_code(addr));
        }
        if addresses.len() > ROWS {
            let _ = writeln!(out, "<li class=\"soft\">and {} more</li>", addresses.len() - ROWS);
        }
        out.push_str("</ul></div></details>\n");
    }
}
