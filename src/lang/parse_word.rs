//! What a word without quotes is: text, a number, or neither. Leaves out the number's value.

/// The kinds of word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    /// A bare string.
    Text,
    /// A number.
    Number,
    /// A number whose digits do not fit in a 128-bit integer.
    OutOfRange,
    /// A keyword of KDL 1, which KDL 2 forbids as a bare string.
    OldKeyword,
    /// Begins like a number and is none.
    BadNumber,
}

/// Classifies a run of identifier characters.
pub(super) fn classify(word: &str) -> WordKind {
    if matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan") {
        return WordKind::OldKeyword;
    }
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digit = |text: &str| text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if unsigned.strip_prefix('.').is_some_and(digit) {
        return WordKind::BadNumber;
    }
    if !digit(unsigned) {
        return WordKind::Text;
    }
    let fits = match radix(unsigned) {
        Some((digits, radix)) => fits(digits, radix),
        None => decimal_fits(unsigned),
    };
    match fits {
        Some(true) => WordKind::Number,
        Some(false) => WordKind::OutOfRange,
        None => WordKind::BadNumber,
    }
}

fn radix(unsigned: &str) -> Option<(&str, u32)> {
    let radix = match unsigned.as_bytes().get(..2)? {
        b"0x" | b"0X" => 16,
        b"0o" | b"0O" => 8,
        b"0b" | b"0B" => 2,
        _ => return None,
    };
    Some((&unsigned[2..], radix))
}

/// Whether a run of digits fits; `None` if it is none.
fn fits(digits: &str, radix: u32) -> Option<bool> {
    let is_digit = |b: u8| char::from(b).is_digit(radix);
    let well_formed = digits.bytes().next().is_some_and(is_digit) && digits.bytes().all(|b| b == b'_' || is_digit(b));
    // Short runs, nearly all, need no arithmetic: 30 hexadecimal digits are 120 bits.
    let small = digits.len() <= 30;
    well_formed.then(|| small || i128::from_str_radix(&digits.replace('_', ""), radix).is_ok())
}

/// A decimal number with perhaps a fraction and an exponent. The `kdl` crate reads each of the three
/// runs of digits as a 128-bit integer.
fn decimal_fits(unsigned: &str) -> Option<bool> {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let mut all = fits(whole, 10)?;
    for digits in [fraction, exponent].into_iter().flatten() {
        all &= fits(digits, 10)?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::{WordKind, classify};

    #[test]
    fn words_are_told_apart() {
        for word in ["a", "-", "+", "-a", "--flag", ".", "..", ".a", "-.", "+-1", "é1", "a,b", "<x>"] {
            assert_eq!(classify(word), WordKind::Text, "{word}");
        }
        let most = i128::MAX.to_string();
        for word in ["0", "-0", "+1_", "1.5", "1_0.0_1e-1_0", "0xfF_", "-0b1", "0o7", "1E9", most.as_str()] {
            assert_eq!(classify(word), WordKind::Number, "{word}");
        }
        for word in ["1a", "1.", "1.e5", "1._5", "1e", "0x", "0xg", "0b2", ".5", "-.5", "1.2.3", "1e1e1", "0x_1", "20m"]
        {
            assert_eq!(classify(word), WordKind::BadNumber, "{word}");
        }
        let one_more = "170141183460469231731687303715884105728";
        for word in [one_more, "-170141183460469231731687303715884105728"] {
            assert_eq!(classify(word), WordKind::OutOfRange, "{word}");
        }
        assert_eq!(classify(&format!("0.{one_more}")), WordKind::OutOfRange);
        assert_eq!(classify(&format!("1e{one_more}")), WordKind::OutOfRange);
        assert_eq!(classify("0xffffffffffffffffffffffffffffffff"), WordKind::OutOfRange);
        for word in ["true", "false", "null", "nan", "inf", "-inf"] {
            assert_eq!(classify(word), WordKind::OldKeyword, "{word}");
        }
    }
}
