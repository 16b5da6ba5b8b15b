//! "Did you mean": the nearest of a closed set of names. Leaves out which names are in scope.

use strsim::damerau_levenshtein;

/// Letters of the longest name that is compared: the time grows with the square of it, and nobody misspells such a name.
const LONGEST: usize = 256;

/// The nearest candidate that is not wholly another name, within a Damerau-Levenshtein distance of a third of the name's length (at
/// least one); of equally near ones the first given, so give nearer scopes first.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length > LONGEST {
        return None;
    }
    let limit = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // At least so many letters differ.
        if candidate.chars().count().abs_diff(length) > limit {
            continue;
        }
        let distance = if candidate.eq_ignore_ascii_case(name) { 0 } else { damerau_levenshtein(name, candidate) };
        // A single letter is as near to every other.
        if distance <= limit && distance < length.max(1) && best.is_none_or(|(nearest, _)| distance < nearest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn finds_near_names_only() {
        assert_eq!(did_you_mean("outptu", ["input", "output"]), Some("output"));
        assert_eq!(did_you_mean("xyz", ["input", "output"]), None);
        assert_eq!(did_you_mean("Node", ["node"]), Some("node"));
        assert_eq!(did_you_mean("a", ["b"]), None);
        assert_eq!(did_you_mean("a", ["ab"]), None);
        assert_eq!(did_you_mean(&"a".repeat(1 << 20), ["input", &"a".repeat((1 << 20) - 1)]), None);
    }
}
