//! How grave a vulnerability is: a rank, from a CVSS v3 vector (base score, FIRST's specification 3.1, section
//! 7.1) or from a word of the database. Leaves out CVSS 2 and 4, whose records bring a word as a rule.

use serde::{Deserialize, Serialize};

/// A rank. Unknown is the highest, so that a gate never lets through what nobody has judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Score 0.
    None,
    /// Up to 3.9.
    Low,
    /// Up to 6.9.
    Medium,
    /// Up to 8.9.
    High,
    /// From 9.0.
    Critical,
    /// Nothing is said of it.
    Unknown,
}

impl Severity {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    /// The rank of a word as databases write it.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "low" => Self::Low,
            "medium" | "moderate" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    /// The rank of a CVSS v3 vector; `None` if it is not one.
    pub(super) fn of_vector(vector: &str) -> Option<Self> {
        let tenths = base_score(vector)?;
        Some(match tenths {
            0 => Self::None,
            1..=39 => Self::Low,
            40..=69 => Self::Medium,
            70..=89 => Self::High,
            _ => Self::Critical,
        })
    }
}

/// The base score, in tenths.
fn base_score(vector: &str) -> Option<u32> {
    let metrics = vector.strip_prefix("CVSS:3.1/").or_else(|| vector.strip_prefix("CVSS:3.0/"))?;
    let get = |name: &str| metrics.split('/').find_map(|metric| metric.strip_prefix(name)?.strip_prefix(':'));
    let changed = match get("S")? {
        "U" => false,
        "C" => true,
        _ => return None,
    };
    let weigh = |name: &str, weights: &[(&str, f64)]| {
        let value = get(name)?;
        weights.iter().find(|(word, _)| *word == value).map(|(_, weight)| *weight)
    };
    let impact = |name| weigh(name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let reach = weigh("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * weigh("AC", &[("L", 0.77), ("H", 0.44)])?
        * weigh(
            "PR",
            if changed { &[("N", 0.85), ("L", 0.68), ("H", 0.5)] } else { &[("N", 0.85), ("L", 0.62), ("H", 0.27)] },
        )?
        * weigh("UI", &[("N", 0.85), ("R", 0.62)])?
        * 8.22;
    let share = 1.0 - (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let harm = if changed { 7.52 * (share - 0.029) - 3.25 * (share - 0.02).powi(15) } else { 6.42 * share };
    if harm <= 0.0 {
        return Some(0);
    }
    let score = if changed { 1.08 * (harm + reach) } else { harm + reach }.min(10.0);
    // Up to the next tenth, on whole numbers so that 4.02 does not become 4.1 by a rounding error.
    let whole = (score * 100_000.0).round() as u32;
    Some(whole.div_ceil(10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_specification() {
        // Examples published with CVSS v3.1.
        for (vector, tenths) in [
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 64),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 31),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N", 0),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 75),
        ] {
            assert_eq!(base_score(vector), Some(tenths), "{vector}");
        }
        for bad in ["", "CVSS:4.0/AV:N", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/S:U"] {
            assert_eq!(base_score(bad), None, "{bad}");
        }
        assert!(Severity::Unknown > Severity::Critical);
    }
}
