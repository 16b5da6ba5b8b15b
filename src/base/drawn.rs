//! Pictures of the book's page on states, as tests compare them with the code. Leaves out how they look.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../book/src/concepts/states.md");

/// The ways drawn under a heading, as pairs of names; those from nothing and to nothing left out.
pub(crate) fn drawn(heading: &str) -> BTreeSet<(String, String)> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading is there");
    let picture = section.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).expect("a picture");
    let ways = picture.lines().filter_map(|line| {
        let (from, rest) = line.split_once("-->")?;
        let to = rest.split(':').next()?;
        Some((from.trim().to_owned(), to.trim().to_owned()))
    });
    ways.filter(|(from, to)| from != "[*]" && to != "[*]").collect()
}

/// The ways of a list, as pairs of names.
pub(crate) fn listed(ways: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    ways.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}
