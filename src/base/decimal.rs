//! Decimal numbers as written, compared digit by digit: no floating point, so that `0.1` is a tenth.
//! Leaves out arithmetic.

use std::cmp::Ordering;

/// The longest number that is read, and the largest exponent: more is no number anybody wrote.
const LONGEST: usize = 400;

/// A decimal number in its one form: no needless zeros, and zero has no sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: String,
    /// Digits after the point, without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Reads `12`, `-0.5`, `1e-3`: a number as JSON and people write it. `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => {
                let exponent = &rest[at + 1..];
                let digits = exponent.trim_start_matches(['+', '-']);
                if digits.is_empty() || exponent.len() > digits.len() + 1 {
                    return None;
                }
                (&rest[..at], exponent.parse::<i32>().ok()?)
            }
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || exponent.unsigned_abs() as usize > LONGEST {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        // Where the point stands among the digits, which may be outside of them.
        let point = whole.len() as i32 + exponent;
        let (whole, fraction) = if point <= 0 {
            (String::new(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
        } else if point as usize >= digits.len() {
            (format!("{digits}{}", "0".repeat(point as usize - digits.len())), String::new())
        } else {
            let (whole, fraction) = digits.split_at(point as usize);
            (whole.to_owned(), fraction.to_owned())
        };
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Self { negative, whole, fraction })
    }

    /// The number without point and exponent, if it is whole.
    pub fn integer(&self) -> Option<String> {
        let digits = if self.whole.is_empty() { "0" } else { &self.whole };
        self.fraction.is_empty().then(|| format!("{}{digits}", if self.negative { "-" } else { "" }))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |number: &Self| (number.whole.len(), number.whole.clone(), number.fraction.clone());
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("`{text}` is a number"))
    }

    #[test]
    fn one_number_has_one_form() {
        for (a, b) in [("0", "-0.0"), ("1.50", "1.5"), ("007", "7"), ("1e3", "1000"), ("12.5e-1", "1.25"), ("0e9", "0")]
        {
            assert_eq!(of(a), of(b), "{a} {b}");
        }
    }

    #[test]
    fn numbers_are_in_order() {
        let rising =
            ["-10", "-9.99", "-0.1", "0", "1e-9", "0.1", "0.10000000000000000001", "0.9", "1", "9", "10", "1e2"];
        for (at, small) in rising.iter().enumerate() {
            for large in &rising[at + 1..] {
                assert!(of(small) < of(large), "{small} < {large}");
            }
        }
    }

    #[test]
    fn whole_numbers_are_written_out() {
        for (text, whole) in [("1e3", Some("1000")), ("-1.5e1", Some("-15")), ("0.0", Some("0")), ("1.5", None)] {
            assert_eq!(of(text).integer().as_deref(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "1.", ".5", "+1", "1e", "1e+-2", "0x1", "1_000", "NaN", "1e999999", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(500)), None);
    }
}
