//! Version numbers as tools print them and requirements as specs write them. Leaves out what a
//! version means to a tool.

use std::cmp::Ordering;
use std::fmt;

/// A version: numbers, compared one by one; absent ones count as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolVersion(Vec<u64>);

impl fmt::Display for ToolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl ToolVersion {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| !numbers.is_empty()).map(Self)
    }

    /// The first version in a text: the first run of numbers joined by dots, else the first number.
    pub fn find(text: &str) -> Option<Self> {
        let runs = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|run| run.trim_matches('.'));
        let mut runs = runs.filter(|run| !run.is_empty());
        let plain = runs.clone().find_map(Self::parse);
        runs.find_map(|run| Self::parse(run).filter(|version| version.0.len() > 1)).or(plain)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let at = |version: &Self, index: usize| version.0.get(index).copied().unwrap_or(0);
        (0..length)
            .map(|index| at(self, index).cmp(&at(other, index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    fn begins_with(&self, prefix: &Self) -> bool {
        (0..prefix.0.len()).all(|index| self.0.get(index).copied().unwrap_or(0) == prefix.0[index])
    }
}

/// Whether a version meets a requirement: comparisons joined by commas, each of `>=`, `>`, `<=`,
/// `<`, `=` and a version. `=1.2` and the bare `1.2` are met by every 1.2.x. The error is for people.
pub fn meets(version: &ToolVersion, requirement: &str) -> Result<bool, String> {
    let mut all = true;
    for part in parts(requirement) {
        let (operator, wanted) = part?;
        let order = version.compare(&wanted);
        all &= match operator {
            ">=" => order.is_ge(),
            ">" => order.is_gt(),
            "<=" => order.is_le(),
            "<" => order.is_lt(),
            _ => version.begins_with(&wanted),
        };
    }
    Ok(all)
}

/// Why a text is no requirement, for people; `None` if it is one.
pub fn no_requirement(text: &str) -> Option<String> {
    parts(text).find_map(Result::err)
}

/// The comparisons of a requirement, each with its version.
fn parts(requirement: &str) -> impl Iterator<Item = Result<(&str, ToolVersion), String>> {
    requirement.split(',').map(str::trim).map(move |part| {
        let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
        let (operator, number) = part.split_at(digits);
        let Some(wanted) = ToolVersion::parse(number.trim()) else {
            return Err(format!("`{requirement}` is no version requirement: write as in `>=1.90, <2`"));
        };
        match operator.trim() {
            known @ (">=" | ">" | "<=" | "<" | "" | "=" | "==") => Ok((known, wanted)),
            other => Err(format!("`{other}` in `{requirement}` is no comparison: use >=, >, <=, < or =")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        ToolVersion::find(text).map(|version| version.to_string()).unwrap_or_default()
    }

    #[test]
    fn finds_the_version_in_what_tools_print() {
        assert_eq!(found("cmark 0.30.2 - CommonMark converter"), "0.30.2");
        assert_eq!(found("rustc 1.95.0 (59807616e 2026-04-14)"), "1.95.0");
        assert_eq!(found("GNU bash, version 5.2.15(1)-release"), "5.2.15");
        assert_eq!(found("7-Zip [64] 16.02"), "16.02".replace("02", "2"));
        assert_eq!(found("jq-1.6"), "1.6");
        assert_eq!(found("less 590 (GNU regular expressions)"), "590");
        assert_eq!(found("no number"), "");
        assert_eq!(found("99999999999999999999999 1.2"), "1.2");
    }

    #[test]
    fn requirements() {
        let version = ToolVersion::find("1.95.0").unwrap();
        for met in [">=1.90, <2", ">=1.95", "1.95", "=1.95.0", "1", ">1.94", "<=1.95", " >= 1.9 "] {
            assert_eq!(meets(&version, met), Ok(true), "{met}");
        }
        for unmet in [">1.95", "<1.95", "=1.9", ">=2", ">=1.90, <1.95"] {
            assert_eq!(meets(&version, unmet), Ok(false), "{unmet}");
        }
        for bad in ["", ">=", "~1.2", "new", ">=1.x"] {
            assert!(meets(&version, bad).is_err(), "{bad}");
            assert!(no_requirement(bad).is_some(), "{bad}");
        }
    }
}
