//! Judges gates: whether what is required holds of what is staged. Three answers: yes, no, and none,
//! where what is asked cannot be read; only yes passes, and the opposite of none is none, so that a
//! missing field opens no gate. Leaves out reading: see `facts`.

use regex::Regex;

use crate::base::Decimal;
use crate::exec::builtin::Staged;
use crate::exec::error::{Failure, FailureClass, Trouble};
use crate::exec::facts::{Document, Documents, Found};
use crate::plan::{GateNote, GateOp, GateSubject, GateValue, Predicate};

/// Lines that a failure tells of one requirement.
const TOLD: usize = 8;

/// An answer, with what speaks against it, for people.
struct Answer {
    /// `None`: there is none.
    holds: Option<bool>,
    told: Vec<String>,
}

/// Judges a gate: whether all that is required holds.
pub(super) fn judge(
    subjects: &[GateSubject],
    require: &[Predicate],
    note: Option<&GateNote>,
    staged: &Staged,
) -> Result<(), Trouble> {
    let mut judge = Judge { subjects, staged, documents: Documents::new() };
    let mut told = Vec::new();
    let mut first = None;
    for (index, predicate) in require.iter().enumerate() {
        let answer = judge.answer(predicate)?;
        if answer.holds == Some(true) {
            continue;
        }
        first.get_or_insert(index);
        if first != Some(index)
            && let Some(message) = note.and_then(|note| note.messages.get(index)?.as_deref())
        {
            told.push(message.to_owned());
        }
        told.push(format!("  required: {}", predicate.shown()));
        let more = answer.told.len().saturating_sub(TOLD);
        told.extend(answer.told.into_iter().take(TOLD).map(|line| format!("  found:    {line}")));
        if more > 0 {
            told.push(format!("  and {more} more"));
        }
    }
    let asked = note.is_some_and(|note| note.kind == "agent");
    if asked {
        // A verdict is what it must be even where it says yes: an agent that answers anything has not judged.
        told.extend(judge.verdict()?.map_err(|why| {
            let name = note.map_or("", |note| note.name.as_str());
            crate::exec::builtin::content(format!("the verdict that gate `{name}` was given is none: {why}"))
        })?);
    }
    let Some(first) = first else { return Ok(()) };
    let name = note.map_or("", |note| note.name.as_str());
    let message = note.and_then(|note| note.messages.get(first)?.clone());
    let message = message.unwrap_or_else(|| format!("`{}` does not hold", require[first].shown()));
    let text = format!("gate `{name}` says no: {message}\n{}", told.join("\n"));
    let concern = note.map_or(crate::plan::Concern::Artifact, |note| note.concern);
    let clause = u32::try_from(first).ok();
    Err(Trouble::Fail(Failure { clause, ..Failure::new(FailureClass::Gate(concern), text) }))
}

/// As [`says_no`], of an action that is a gate.
pub(super) fn no(trouble: Trouble, note: Option<&GateNote>) -> Trouble {
    match (trouble, note) {
        (Trouble::Fail(failure), Some(note)) => Trouble::Fail(says_no(failure, note)),
        (other, _) => other,
    }
}

/// The failure of a command that is a gate: a status that is not 0 is its no.
fn says_no(failure: Failure, note: &GateNote) -> Failure {
    /// `EX_TEMPFAIL` of `sysexits.h`: it could not say.
    const EX_TEMPFAIL: i32 = 75;
    match failure.class {
        FailureClass::Exit(status) if status != EX_TEMPFAIL => {
            let message = note.messages.first().and_then(Option::as_deref);
            let message = message.map_or(String::new(), |message| format!("{message}\n"));
            let text = format!("gate `{}` says no: {message}{}", note.name, failure.text);
            Failure { class: FailureClass::Gate(note.concern), text, clause: Some(0) }
        }
        _ => failure,
    }
}

struct Judge<'a> {
    subjects: &'a [GateSubject],
    staged: &'a Staged,
    documents: Documents,
}

impl Judge<'_> {
    /// The reasons of a verdict, as lines. The inner error: it is not what a verdict must be.
    fn verdict(&mut self) -> Result<Result<Vec<String>, String>, Trouble> {
        let Some(subject) = self.subjects.iter().find(|subject| subject.name == "verdict") else {
            return Ok(Err("there is none".to_owned()));
        };
        let Some(at) = subject.at.first() else { return Ok(Err("there is none".to_owned())) };
        let text = self.staged.text(at)?;
        Ok(reasons(&text))
    }

    fn answer(&mut self, predicate: &Predicate) -> Result<Answer, Trouble> {
        match predicate {
            Predicate::Test { path, op, value } => self.test(path, *op, value),
            Predicate::All(all) => {
                let answers = self.answers(all)?;
                let holds = if answers.iter().any(|answer| answer.holds == Some(false)) {
                    Some(false)
                } else {
                    answers.iter().all(|answer| answer.holds == Some(true)).then_some(true)
                };
                let failing = answers.into_iter().filter(|answer| answer.holds != Some(true));
                Ok(Answer { holds, told: failing.flat_map(|answer| answer.told).collect() })
            }
            Predicate::Any(all) => {
                let answers = self.answers(all)?;
                let holds = if answers.iter().any(|answer| answer.holds == Some(true)) {
                    Some(true)
                } else {
                    answers.iter().all(|answer| answer.holds == Some(false)).then_some(false)
                };
                Ok(Answer { holds, told: answers.into_iter().flat_map(|answer| answer.told).collect() })
            }
            Predicate::Not(all) => {
                let answers = self.answers(all)?;
                let holds = if answers.iter().any(|answer| answer.holds == Some(true)) {
                    Some(false)
                } else {
                    answers.iter().all(|answer| answer.holds == Some(false)).then_some(true)
                };
                let against = answers.into_iter().filter(|answer| answer.holds != Some(false));
                Ok(Answer { holds, told: against.flat_map(|answer| answer.told).collect() })
            }
        }
    }

    fn answers(&mut self, all: &[Predicate]) -> Result<Vec<Answer>, Trouble> {
        all.iter().map(|predicate| self.answer(predicate)).collect()
    }

    /// A test holds if it does of every value that its path leads to, in every artifact.
    fn test(&mut self, path: &str, op: GateOp, value: &GateValue) -> Result<Answer, Trouble> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let none = |why: String| Answer { holds: None, told: vec![why] };
        let Some(subject) = self.subjects.iter().find(|subject| subject.name == head) else {
            return Ok(none(format!("`{head}` is nothing that the gate reads")));
        };
        let several = subject.at.len() > 1;
        let (mut no, mut unknown, mut yes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, at) in subject.at.iter().enumerate() {
            let key = (subject.name.clone(), at.clone());
            if !self.documents.contains_key(&key) {
                let read = Document::read(subject.reads, at, self.staged)?;
                self.documents.insert(key.clone(), read);
            }
            let of = if several { format!("{head}[{number}]") } else { head.to_owned() };
            let found = match self.documents.get(&key) {
                Some(Ok(document)) => document.at(rest),
                Some(Err(why)) => Err(why.clone()),
                None => continue,
            };
            let values = match found {
                Ok(values) => values,
                Err(why) => {
                    unknown.push(format!("{of}: {why}"));
                    continue;
                }
            };
            for (at, found) in values {
                let place = if at.is_empty() && rest.is_empty() {
                    of.clone()
                } else {
                    format!("{of}.{}", if at.is_empty() { rest } else { &at })
                };
                let line = format!("{place} is {}", found.shown());
                match compare(&found, op, value) {
                    Ok(true) => yes.push(line),
                    Ok(false) => no.push(line),
                    Err(why) => unknown.push(format!("{line}: {why}")),
                }
            }
        }
        Ok(match (no.is_empty(), unknown.is_empty()) {
            (false, _) => Answer { holds: Some(false), told: no.into_iter().chain(unknown).collect() },
            (true, false) => Answer { holds: None, told: unknown },
            // What holds is told where it should not.
            (true, true) => Answer { holds: Some(true), told: yes },
        })
    }
}

/// The reasons of a verdict: an object with `pass`, `#true` or not, and `reasons`, a list of texts, of which one that
/// says no has at least one.
fn reasons(text: &str) -> Result<Vec<String>, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let pass = json.get("pass").and_then(serde_json::Value::as_bool);
    let pass = pass.ok_or_else(|| "its `pass` is neither true nor false".to_owned())?;
    let listed = json.get("reasons").and_then(serde_json::Value::as_array);
    let listed = listed.ok_or_else(|| "its `reasons` are no list".to_owned())?;
    let texts: Option<Vec<&str>> = listed.iter().map(serde_json::Value::as_str).collect();
    let texts = texts.ok_or_else(|| "one of its `reasons` is no text".to_owned())?;
    if !pass && texts.is_empty() {
        return Err("it says no, and no reason".to_owned());
    }
    Ok(texts.into_iter().take(TOLD).map(|reason| format!("  reason:   {}", reason.trim().replace('\n', " "))).collect())
}

/// Whether a value compares as is asked. An error: it cannot be compared.
fn compare(found: &Found, op: GateOp, value: &GateValue) -> Result<bool, String> {
    let wanted = match value {
        GateValue::Number(text) | GateValue::Text(text) => text.as_str(),
        GateValue::Flag(true) => "true",
        GateValue::Flag(false) => "false",
    };
    match op {
        GateOp::Contains => match found {
            Found::Text(text) => Ok(text.contains(wanted)),
            Found::List(items) => Ok(items.iter().any(|item| equal(item, value) == Some(true))),
            _ => Err("it is neither a text nor a list".to_owned()),
        },
        GateOp::Matches => {
            let regex = Regex::new(wanted).map_err(|_| format!("`{wanted}` is not a regular expression"))?;
            match found {
                Found::Text(text) => Ok(regex.is_match(text)),
                Found::List(items) => {
                    Ok(items.iter().any(|item| matches!(item, Found::Text(text) if regex.is_match(text))))
                }
                _ => Err("it is neither a text nor a list of texts".to_owned()),
            }
        }
        GateOp::Eq | GateOp::Ne => {
            let same = equal(found, value).ok_or_else(|| format!("it cannot be compared with {}", value.shown()))?;
            Ok(same == (op == GateOp::Eq))
        }
        GateOp::Lt | GateOp::Le | GateOp::Gt | GateOp::Ge => {
            let (Found::Number(text) | Found::Text(text)) = found else { return Err("it is no number".to_owned()) };
            let numbers = Decimal::parse(text).zip(Decimal::parse(wanted));
            let (left, right) = numbers.ok_or_else(|| "it is no number".to_owned())?;
            let order = left.cmp(&right);
            Ok(match op {
                GateOp::Lt => order.is_lt(),
                GateOp::Le => order.is_le(),
                GateOp::Gt => order.is_gt(),
                _ => order.is_ge(),
            })
        }
    }
}

/// Whether two scalars are the same: numbers as numbers, whatever they are written as. `None`: one of
/// them is no scalar.
fn equal(found: &Found, value: &GateValue) -> Option<bool> {
    let number = |text: &str| Decimal::parse(text);
    Some(match (found, value) {
        (Found::Number(left), GateValue::Number(right) | GateValue::Text(right)) => {
            number(left).zip(number(right)).is_some_and(|(left, right)| left == right)
        }
        (Found::Text(left), GateValue::Number(right)) => match number(left).zip(number(right)) {
            Some((left, right)) => left == right,
            None => left == right,
        },
        (Found::Text(left), GateValue::Text(right)) => left == right,
        (Found::Flag(left), GateValue::Flag(right)) => left == right,
        (Found::Nothing | Found::Flag(_) | Found::Number(_) | Found::Text(_), _) => false,
        (Found::List(_) | Found::Whole(_), _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Found {
        Found::Number(text.to_owned())
    }

    fn text(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    #[test]
    fn numbers_are_compared_without_points_that_float() {
        let wanted = GateValue::Number("0.9".to_owned());
        for (found, holds) in
            [("0.9", true), ("0.90", true), ("0.8999999999999999999", false), ("9e-1", true), ("1", true)]
        {
            assert_eq!(compare(&number(found), GateOp::Ge, &wanted), Ok(holds), "{found}");
        }
        assert_eq!(compare(&number("1.0"), GateOp::Eq, &GateValue::Number("1".to_owned())), Ok(true));
        assert_eq!(compare(&text("12"), GateOp::Gt, &wanted), Ok(true));
        assert!(compare(&text("many"), GateOp::Gt, &wanted).is_err());
        assert!(compare(&Found::Flag(true), GateOp::Gt, &wanted).is_err());
    }

    #[test]
    fn a_verdict_says_what_and_why() {
        assert_eq!(reasons(r#"{"pass": true, "reasons": []}"#), Ok(Vec::new()));
        assert_eq!(
            reasons(r#"{"pass": false, "reasons": ["a\nb"], "score": 3}"#),
            Ok(vec!["  reason:   a b".to_owned()])
        );
        for (text, why) in [
            (r#"{"pass": false, "reasons": []}"#, "it says no, and no reason"),
            (r#"{"pass": "yes", "reasons": []}"#, "its `pass` is neither true nor false"),
            (r#"{"pass": true}"#, "its `reasons` are no list"),
            (r#"{"pass": true, "reasons": [1]}"#, "one of its `reasons` is no text"),
        ] {
            assert_eq!(reasons(text), Err(why.to_owned()));
        }
        assert!(reasons("yes").is_err());
    }

    #[test]
    fn kinds_are_not_mixed_up() {
        let yes = GateValue::Flag(true);
        assert_eq!(compare(&Found::Flag(true), GateOp::Eq, &yes), Ok(true));
        assert_eq!(compare(&text("true"), GateOp::Eq, &yes), Ok(false));
        assert_eq!(compare(&Found::Nothing, GateOp::Ne, &yes), Ok(true));
        assert!(compare(&Found::Whole("an object"), GateOp::Ne, &yes).is_err());
        let one = GateValue::Text("a".to_owned());
        let list = Found::List(vec![text("b"), text("a")]);
        assert_eq!(compare(&list, GateOp::Contains, &one), Ok(true));
        assert_eq!(compare(&text("cab"), GateOp::Contains, &one), Ok(true));
        assert!(compare(&list, GateOp::Eq, &one).is_err());
        assert_eq!(compare(&list, GateOp::Matches, &GateValue::Text("^B$".to_owned())), Ok(false));
    }
}
