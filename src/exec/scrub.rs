//! Takes the values of secrets out of what a process printed, before it is kept or told. Leaves out
//! files: what an action leaves is the author's to watch.

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

    /// The text without the values: each, and each longer line of one, becomes the secret's name.
    pub(super) fn scrub(&self, text: Vec<u8>) -> Vec<u8> {
        let mut pieces: Vec<(&[u8], &str)> = Vec::new();
        for (_, name, value) in &self.all {
            let trimmed = value.trim();
            if !trimmed.is_empty() {
                pieces.push((trimmed.as_bytes(), name));
            }
            let lines = trimmed.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES);
            pieces.extend(lines.map(|line| (line.as_bytes(), name.as_str())));
        }
        // The longest first: a shorter one may be a part of it.
        pieces.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.len()));
        pieces.dedup();
        pieces.into_iter().fold(text, |text, (bytes, name)| replace(text, bytes, name))
    }
}

fn replace(text: Vec<u8>, what: &[u8], name: &str) -> Vec<u8> {
    if what.is_empty() || text.len() < what.len() {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(what) {
            out.extend_from_slice(format!("[secret {name}]").as_bytes());
            at += what.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
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

    #[test]
    fn an_empty_secret_takes_nothing_out() {
        let given = Given { all: vec![("T".to_owned(), "token".to_owned(), " ".to_owned())] };
        assert_eq!(given.scrub(b"a b".to_vec()), b"a b");
    }
}
