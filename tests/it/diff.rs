//! Plans read back, their differences, and the commands around them. Leaves out the rendering of
//! single values, which is tested beside it.

mod cases;
mod generate;
mod history;
mod outlook;
mod pages;
mod past;
mod privilege;
mod recipes;
mod revisions;

use std::collections::BTreeSet;

use partita::base::Environment;
use partita::plan::{Places, PlanDiff, Review, Side, Subject, diff, from_json_lines, review_text, to_json_lines};

use generate::{Graph, Random, Truth};

/// A number of the benchmark, or what is enough for every run of the tests.
fn number(name: &str, default: usize) -> usize {
    let given = Environment::of_process().raw(name).and_then(|value| value.to_str()?.parse().ok());
    given.unwrap_or(default)
}

fn review(found: PlanDiff) -> Review {
    Review {
        before: "a".to_owned(),
        after: "b".to_owned(),
        graphs: vec![found],
        skipped: Vec::new(),
        cosmetic: Vec::new(),
        inputs: Vec::new(),
        unforeseen: None,
        prefix: String::new(),
    }
}

fn said(found: &PlanDiff) -> Truth {
    let of = |subject: Subject| -> BTreeSet<String> {
        let roots = found.roots.iter().filter(|root| root.subject == subject);
        roots.flat_map(|root| root.members.iter().cloned()).collect()
    };
    let moved = found.moved.iter().flat_map(|group| group.was.iter().cloned().zip(group.members.iter().cloned()));
    Truth {
        roots: of(Subject::Action),
        tools: of(Subject::Tool),
        moved: moved.collect(),
        added: found.added.iter().flat_map(|group| group.members.iter().cloned()).collect(),
        removed: found.removed.iter().flat_map(|group| group.members.iter().cloned()).collect(),
        privileged: found.privileged.iter().flat_map(|item| item.members.iter().cloned()).collect(),
    }
}

/// The benchmark runs this with 500 cases and 10,000 actions.
#[test]
fn every_cause_is_found_and_nothing_else() {
    let cases = number("PARTITA_DIFF_CASES", 60);
    let largest = number("PARTITA_DIFF_ACTIONS", 300);
    let nowhere = Places::default();
    let (mut causes, mut lines_most) = (0, 0.0_f64);
    for case in 0..cases {
        let mut random = Random::new(case as u64 + 1);
        let count = if case % 10 == 0 { largest } else { 1 + random.below(largest) };
        let graph = Graph::random(&mut random, count);
        let wanted = 1 + random.below(12);
        let (changed, truth) = graph.change(&mut random, wanted);
        let (old, new) = (graph.plan(), changed.plan());
        let found = diff(Some(Side { plan: &old, places: &nowhere }), Some(Side { plan: &new, places: &nowhere }));
        assert_eq!(said(&found), truth, "case {case}");
        assert_eq!(found.is_empty(), truth.causes() == 0, "case {case}");

        // What follows: every action below a cause that is in its key, and no other.
        let unmoved = found.rekeyed.iter().filter(|addr| old.find(addr).is_some());
        for addr in unmoved {
            let (before, after) = (old.find(addr).expect("it is there"), new.find(addr).expect("it is there"));
            assert_ne!(old.action(before).skey, new.action(after).skey, "case {case}: {addr}");
            assert_eq!(old.action(before).def, new.action(after).def, "case {case}: {addr}");
        }

        let text = review_text(&review(found), false, false);
        let bound = 10 + 5 * truth.causes();
        let lines = text.lines().count();
        assert!(lines <= bound, "case {case}: {lines} lines for {} causes\n{text}", truth.causes());
        causes += truth.causes();
        lines_most = lines_most.max(lines as f64 / bound as f64);
    }
    assert!(causes >= cases, "the cases change something: {causes}");
    let share = lines_most * 100.0;
    println!("{cases} cases, {causes} causes: all found, no other; at most {share:.0} % of the allowed lines");
}

#[test]
fn a_plan_read_back_is_the_plan() {
    for case in 0..number("PARTITA_DIFF_CASES", 60).min(60) {
        let mut random = Random::new(case as u64 + 1);
        let count = 1 + random.below(60);
        let plan = Graph::random(&mut random, count).plan();
        let text = to_json_lines(&plan);
        let read = from_json_lines(&text).expect("what is written can be read");
        assert_eq!(read, plan);
        assert_eq!(to_json_lines(&read), text);
    }
}

#[test]
fn every_byte_that_is_changed_is_noticed_or_means_nothing() {
    let mut random = Random::new(7);
    let plan = Graph::random(&mut random, 4).plan();
    let text = to_json_lines(&plan).into_bytes();
    for at in 0..text.len() {
        for flip in [1_u8, 2, 32] {
            let mut changed = text.clone();
            changed[at] ^= flip;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            if !changed.contains("\"key_schema\":1,") {
                // The digests of another schema cannot be judged; they are made anew from the fields.
                continue;
            }
            // Some fields are in no digest; then the plan that is read says the change.
            if let Ok(read) = from_json_lines(&changed) {
                assert_ne!(read, plan, "byte {at}");
            }
        }
    }
    for cut in 0..text.len() - 1 {
        assert!(from_json_lines(std::str::from_utf8(&text[..cut]).expect("it is ASCII")).is_err(), "cut at {cut}");
    }
}
