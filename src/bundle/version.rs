//! The order of versions: dotted numbers with an optional pre-release, as in Semantic Versioning 2.0.0
//! section 11, with any count of numbers. Leaves out ranges.

use std::cmp::Ordering;

/// A version that can be compared. Build metadata after `+` does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: Vec<u64>,
    pre: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    // Numbers come before words.
    Number(u64),
    Word(String),
}

impl Version {
    /// `None` if the text is not dotted numbers with an optional pre-release.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
        let number = |part: &str| -> Option<u64> {
            let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if plain && (part == "0" || !part.starts_with('0')) { part.parse().ok() } else { None }
        };
        let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let mut numbers: Vec<u64> = numbers.split('.').map(number).collect::<Option<_>>()?;
        while numbers.len() > 1 && numbers.last() == Some(&0) {
            numbers.pop();
        }
        let pre = match pre {
            None => Vec::new(),
            Some(pre) if pre.split('.').all(|part| word(&part)) => pre
                .split('.')
                .map(|part| number(part).map_or_else(|| Part::Word(part.to_owned()), Part::Number))
                .collect(),
            Some(_) => return None,
        };
        if build.is_some_and(|build| !build.split('.').all(|part| word(&part))) {
            return None;
        }
        Some(Self { numbers, pre })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // A version with a pre-release comes before the one without.
        let released = self.pre.is_empty().cmp(&other.pre.is_empty());
        self.numbers.cmp(&other.numbers).then(released).then_with(|| self.pre.cmp(&other.pre))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let rising = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-2a",
            "1",
            "1.0.1",
            "1.2",
            "1.10.0",
            "2.0.0",
        ];
        let mut sorted: Vec<Version> = rising.iter().map(|text| Version::parse(text).unwrap()).collect();
        sorted.swap(3, 4); // `2a` is a word and sorts before `alpha`
        sorted.sort();
        let expected = [
            "0.9",
            "1.0.0-2a",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1",
            "1.0.1",
            "1.2",
            "1.10.0",
            "2.0.0",
        ];
        assert_eq!(sorted, expected.map(|text| Version::parse(text).unwrap()));
        assert_eq!(Version::parse("1.0.0+a"), Version::parse("1+b"));
        for bad in ["", "1.", "v1", "1..2", "01", "1-", "1-a..b", "1.99999999999999999999999", "1+", "1+_"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
