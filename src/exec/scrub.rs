//! Takes the values of secrets out of what a process printed, before it is kept or told. Leaves out
//! files: what an action leaves is the author's to watch.

use aho_corasick::{AhoCorasick, MatchKind};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use crate::exec::capture::cuts;
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::ports::Secrets;
use crate::plan::{ActionSpec, Terms};

/// Shorter lines of a secret are not looked for by themselves: they would be found everywhere.
const LINE_BYTES: usize = 6;

/// The secrets of one attempt.
#[derive(Default)]
pub(super) struct Given {
    /// Variable, name and value.
    all: Vec<(String, String, String)>,
}

impl Given {
    /// Reads what an action is given.
    pub(super) fn read(spec: &ActionSpec, terms: &Terms, secrets: &dyn Secrets) -> Result<Self, Trouble> {
        let mut all = Vec::with_capacity(spec.secrets.len());
        for (variable, name) in &spec.secrets {
            let fail = |why: String| {
                Trouble::from(Failure::new(FailureClass::Input, format!("cannot read secret `{name}`: {why}")))
            };
            let terms = terms.secrets.get(name).ok_or_else(|| fail("the plan does not say where it is".to_owned()))?;
            let value = secrets.read(name, terms).map_err(fail)?;
            if value.contains('\0') {
                return Err(fail("it holds a NUL, which no variable can".to_owned()));
            }
            all.push((variable.clone(), name.clone(), value));
        }
        Ok(Self { all })
    }

    /// Variables and values, for the environment of the process.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|(variable, _, value)| (variable.as_str(), value.as_str()))
    }

    /// The text without the values: each, each longer line of one, and each in a form in which programs pass on what
    /// they were given, becomes the secret's name; and what is left of one at a place where a log was cut.
    pub(super) fn scrub(&self, text: Vec<u8>) -> Vec<u8> {
        let mut pieces: Vec<(Vec<u8>, String)> = Vec::new();
        for (_, name, value) in &self.all {
            let trimmed = value.trim();
            let lines = trimmed.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES);
            let plain = std::iter::once(trimmed)
                .filter(|all| !all.is_empty())
                .chain(lines)
                .map(|piece| piece.as_bytes().to_vec());
            let shown = format!("[secret {name}]");
            pieces.extend(plain.chain(forms(trimmed)).chain(forms(value)).map(|piece| (piece, shown.clone())));
        }
        if pieces.is_empty() {
            return text;
        }
        // A shorter one may be a part of a longer one.
        let search =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(pieces.iter().map(|(piece, _)| piece));
        let names: Vec<&str> = pieces.iter().map(|(_, name)| name.as_str()).collect();
        match search {
            Ok(search) => cut_pieces(&search.replace_all_bytes(&text, &names), &pieces),
            // Secrets that are too large to be looked for together are in nothing that is kept.
            Err(_) => b"[partita: not kept, as the secrets of this action are too large to be looked for]\n".to_vec(),
        }
    }

    /// A failure without the values: what it says of outputs may hold what was in them.
    pub(super) fn scrub_failure(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Fail(mut failure) if !self.all.is_empty() => {
                failure.text = String::from_utf8_lossy(&self.scrub(failure.text.into_bytes())).into_owned();
                Trouble::Fail(failure)
            }
            other => other,
        }
    }
}

/// A value as JSON, addresses, base64 and hexadecimal digits hold it.
fn forms(value: &str) -> Vec<Vec<u8>> {
    if value.len() < LINE_BYTES {
        return Vec::new();
    }
    let bytes = value.as_bytes();
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut all = vec![json.trim_matches('"').to_owned(), HEXLOWER.encode(bytes), HEXUPPER.encode(bytes)];
    for space in ["%20", "+"] {
        let one = |byte: &u8| match byte {
            b' ' => space.to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        all.push(bytes.iter().map(one).collect());
    }
    for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
        // Where it stands behind other bytes, all but the first and last digits are its own.
        for (before, strange) in [(0, 0), (1, 2), (2, 3)] {
            let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
            let digits = encoding.encode(&padded);
            all.push(digits[strange..padded.len() * 8 / 6].to_owned());
        }
    }
    all.into_iter().filter(|form| form != value && form.len() >= LINE_BYTES).map(String::into_bytes).collect()
}

/// Takes out what is left of values that a log was cut in.
fn cut_pieces(text: &[u8], pieces: &[(Vec<u8>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for cut in cuts(text) {
        let (head, tail) = (&text[from..cut.start], &text[cut.end..]);
        // The longest part of any of them.
        let ends = pieces
            .iter()
            .filter_map(|(piece, _)| (1..piece.len()).filter(|length| head.ends_with(&piece[..*length])).max());
        let begins = pieces.iter().filter_map(|(piece, _)| {
            (1..piece.len()).filter(|length| tail.starts_with(&piece[piece.len() - length..])).max()
        });
        out.extend_from_slice(&head[..head.len() - ends.max().unwrap_or(0)]);
        out.extend_from_slice(&text[cut.clone()]);
        from = cut.end + begins.max().unwrap_or(0);
    }
    out.extend_from_slice(&text[from.min(text.len())..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_lines_are_taken_out() {
        let all = vec![("T".to_owned(), "token".to_owned(), "first-line\nsecond-line\n".to_owned())];
        let given = Given { all };
        let scrubbed = given.scrub(b"a first-line\nsecond-line b second-line c first-lin".to_vec());
        assert_eq!(String::from_utf8(scrubbed).unwrap(), "a [secret token] b [secret token] c first-lin");
    }

    fn given(value: &str) -> Given {
        Given { all: vec![("T".to_owned(), "token".to_owned(), value.to_owned())] }
    }

    #[test]
    fn forms_of_a_value_are_taken_out() {
        const VALUE: &str = "s3 \"quoted\"/é+token-42";
        let json = serde_json::json!({ "k": VALUE }).to_string();
        assert_eq!(given(VALUE).scrub(json.into_bytes()), b"{\"k\":\"[secret token]\"}");
        let url = "a=s3%20%22quoted%22%2F%C3%A9%2Btoken-42&b=s3+%22quoted%22%2F%C3%A9%2Btoken-42";
        assert_eq!(given(VALUE).scrub(url.into()), b"a=[secret token]&b=[secret token]");
        let hex = format!("{} {}", HEXLOWER.encode(VALUE.as_bytes()), HEXUPPER.encode(VALUE.as_bytes()));
        assert_eq!(given(VALUE).scrub(hex.into_bytes()), b"[secret token] [secret token]");
        for before in ["", "u", "us", "user:"] {
            for encoding in [data_encoding::BASE64, data_encoding::BASE64URL] {
                let whole = encoding.encode(format!("{before}{VALUE}").as_bytes());
                let scrubbed = String::from_utf8(given(VALUE).scrub(whole.into_bytes())).unwrap();
                assert!(scrubbed.contains("[secret token]"), "{scrubbed}");
                let rest = scrubbed.replace("[secret token]", "");
                assert!(rest.len() <= before.len() * 4 / 3 + 6, "{rest}");
            }
        }
        // A short one is found as it is alone.
        assert_eq!(given("ab").scrub(b"ab 6162 YWI".to_vec()), b"[secret token] 6162 YWI");
    }

    #[test]
    fn what_is_left_where_a_log_was_cut_is_taken_out() {
        const VALUE: &str = "abcdefgh";
        for head in 0..=VALUE.len() {
            for tail in 0..=VALUE.len() {
                let mut capture = crate::exec::capture::Capture::new(40);
                capture.push(format!("{}{}", "x".repeat(20 - head), &VALUE[..head]).as_bytes());
                capture.push(&[b'.'; 100]);
                capture.push(format!("{}{}", &VALUE[VALUE.len() - tail..], "y".repeat(20 - tail)).as_bytes());
                let text = String::from_utf8(given(VALUE).scrub(capture.finish())).unwrap();
                assert!(text.contains("\n[partita: 100 bytes left out]\n"), "{text}");
                let rest = text.replace("[partita: 100 bytes left out]", "").replace("[secret token]", "");
                assert!(rest.trim_matches(['x', 'y', '\n']).is_empty(), "{text}");
            }
        }
    }

    #[test]
    fn an_empty_secret_takes_nothing_out() {
        let given = Given { all: vec![("T".to_owned(), "token".to_owned(), " ".to_owned())] };
        assert_eq!(given.scrub(b"a b".to_vec()), b"a b");
    }
}
