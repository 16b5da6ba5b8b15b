//! Which changes of what decides let more through than before: requirements that are gone or looser, people
//! who may approve and could not, consent that stands longer, more that starts by itself. What is tightened
//! is a change, but not a privileged one. Leaves out gates that are taken away as a whole, which those
//! no longer wait for that did.

use std::collections::BTreeSet;

use crate::base::{Decimal, format_duration};
use crate::plan::diff::Change;
use crate::plan::{Action, ActionKind, Approval, Approver, Automation, GateOp, GateValue, Predicate, Privilege};

type Ways = Vec<(Privilege, String)>;

/// The ways in which a change of an action that decides, or of how much of one starts by itself, widens.
pub(super) fn of_decision(old: &Action, new: &Action, changes: &[Change]) -> Ways {
    let mut ways = Ways::new();
    if raised(old.policy.automation, new.policy.automation) {
        let word = |level: Option<Automation>| level.map_or("none", Automation::word);
        let text = format!("{} -> {}", word(old.policy.automation), word(new.policy.automation));
        ways.push((Privilege::Automation, text));
    }
    let looks_elsewhere =
        |change: &&Change| change.field.starts_with("inputs.") || change.field.starts_with("subjects.");
    match (&old.spec.kind, &new.spec.kind) {
        (ActionKind::Gate { require: before, .. }, ActionKind::Gate { require: after, .. }) => {
            ways.extend(weakened(before, after).into_iter().map(|text| (Privilege::Gate, text)));
            if let Some(change) = changes.iter().find(looks_elsewhere) {
                ways.push((Privilege::Gate, format!("looks at something else: `{}` changed", change.field)));
            }
        }
        (ActionKind::Approval(before), ActionKind::Approval(after)) => {
            ways.extend(looser(before, after).into_iter().map(|text| (Privilege::Gate, text)));
        }
        _ if old.policy.gate.is_some() => {
            // What a command checks cannot be compared: any other is another judge.
            if let Some(change) = changes.iter().find(|change| change.keyed) {
                ways.push((Privilege::Gate, format!("`{}` of a gate changed", change.field)));
            }
        }
        _ => {}
    }
    ways
}

/// Whether more starts by itself. What says nothing starts by itself.
fn raised(old: Option<Automation>, new: Option<Automation>) -> bool {
    let level = |given: Option<Automation>| given.unwrap_or(Automation::Auto);
    level(new) > level(old)
}

/// Requirements of the one list that the other does not make sure of.
fn weakened(old: &[Predicate], new: &[Predicate]) -> Vec<String> {
    let (old, new) = (flat(old), flat(new));
    let mut lost = Vec::new();
    for wanted in old {
        if new.iter().any(|found| implies(found, wanted)) {
            continue;
        }
        let like = |found: &&&Predicate| match (found, wanted) {
            (Predicate::Test { path: a, .. }, Predicate::Test { path: b, .. }) => a == b,
            _ => false,
        };
        lost.push(match new.iter().find(like) {
            Some(found) => format!("requirement loosened: {} -> {}", wanted.shown(), found.shown()),
            None => format!("requirement gone: {}", wanted.shown()),
        });
    }
    lost
}

/// All that must hold, one by one.
fn flat(all: &[Predicate]) -> Vec<&Predicate> {
    fn one(item: &Predicate) -> Vec<&Predicate> {
        if let Predicate::All(inner) = item { flat(inner) } else { vec![item] }
    }
    all.iter().flat_map(one).collect()
}

/// Whether what fulfils the one fulfils the other. Where that is not plain, it does not.
fn implies(given: &Predicate, wanted: &Predicate) -> bool {
    if given == wanted {
        return true;
    }
    match (given, wanted) {
        (_, Predicate::All(all)) => all.iter().all(|one| implies(given, one)),
        (Predicate::All(all), _) => all.iter().any(|one| implies(one, wanted)),
        (Predicate::Any(all), _) => !all.is_empty() && all.iter().all(|one| implies(one, wanted)),
        (_, Predicate::Any(all)) => all.iter().any(|one| implies(given, one)),
        (Predicate::Not(given), Predicate::Not(wanted)) => wanted.iter().all(|one| given.contains(one)),
        (Predicate::Test { path: a, op: given, value: x }, Predicate::Test { path: b, op: wanted, value: y }) => {
            a == b && bounds(*given, x, *wanted, y)
        }
        _ => false,
    }
}

/// Whether one bound lies within another.
fn bounds(given: GateOp, x: &GateValue, wanted: GateOp, y: &GateValue) -> bool {
    use GateOp::{Eq, Ge, Gt, Le, Lt, Ne};
    let (GateValue::Number(x), GateValue::Number(y)) = (x, y) else { return false };
    let (Some(x), Some(y)) = (Decimal::parse(x), Decimal::parse(y)) else { return false };
    match (given, wanted) {
        (Lt, Lt | Le) | (Le | Eq, Le) => x <= y,
        (Le | Eq, Lt) => x < y,
        (Gt, Gt | Ge) | (Ge | Eq, Ge) => x >= y,
        (Ge | Eq, Gt) => x > y,
        (Eq, Ne) => x != y,
        (Lt, Ne) => x <= y,
        (Le, Ne) => x < y,
        (Gt, Ne) => x >= y,
        (Ge, Ne) => x > y,
        _ => false,
    }
}

/// In which ways consent is easier to get.
fn looser(old: &Approval, new: &Approval) -> Vec<String> {
    let mut ways = Vec::new();
    if new.min < old.min {
        ways.push(format!("people needed {} -> {}", old.min, new.min));
    }
    if old.distinct && !new.distinct {
        ways.push("the author of the change may approve it".to_owned());
    }
    if old.by_name && !new.by_name {
        ways.push("consent to the whole plan is enough".to_owned());
    }
    if let Some(before) = old.expires_ms
        && new.expires_ms.is_none_or(|after| after > before)
    {
        let span = |ms: u64| format_duration(std::time::Duration::from_millis(ms));
        let after = new.expires_ms.map_or("for ever".to_owned(), span);
        ways.push(format!("consent stands {} -> {after}", span(before)));
    }
    let Some(before) = &old.members else { return ways };
    let Some(after) = &new.members else {
        ways.push("anybody with a key of the workspace may approve".to_owned());
        return ways;
    };
    let known: BTreeSet<Option<&str>> = before.iter().map(|member| member.key.as_deref()).collect();
    let fresh = |member: &&Approver| member.key.is_some() && !known.contains(&member.key.as_deref());
    for member in after.iter().filter(fresh) {
        let key: String = member.key.iter().flat_map(|key| key.chars().take(12)).collect();
        ways.push(format!("`{}` may approve, by key {key}", member.name));
    }
    // By the address an author is known, who must be another.
    let address = |member: &Approver| (member.name.clone(), member.key.clone(), member.email.clone());
    let addresses: BTreeSet<_> = before.iter().map(address).collect();
    for member in after.iter().filter(|member| new.distinct && known.contains(&member.key.as_deref())) {
        if !addresses.contains(&address(member)) {
            ways.push(format!("`{}` is known as an author by another name or address", member.name));
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(path: &str, op: GateOp, number: &str) -> Predicate {
        Predicate::Test { path: path.to_owned(), op, value: GateValue::Number(number.to_owned()) }
    }

    #[test]
    fn what_is_tightened_is_not_weakened() {
        use GateOp::{Eq, Ge, Gt, Le, Lt, Ne};
        let limit = |op, number: &str| vec![test("r.failed", op, number)];
        for (old, new) in [
            (limit(Le, "5"), limit(Le, "4.5")),
            (limit(Le, "5"), limit(Lt, "5")),
            (limit(Lt, "5"), limit(Le, "4")),
            (limit(Ge, "1"), limit(Gt, "1")),
            (limit(Ge, "1"), limit(Eq, "2")),
            (limit(Ne, "0"), limit(Gt, "0")),
            (limit(Ne, "0"), limit(Eq, "1")),
            (limit(Le, "5"), vec![Predicate::All(limit(Le, "5")), test("r.passed", Ge, "1")]),
            (vec![Predicate::Any([limit(Le, "5"), limit(Eq, "9")].concat())], limit(Eq, "9")),
            (vec![Predicate::Not(limit(Eq, "9"))], vec![Predicate::Not([limit(Eq, "9"), limit(Eq, "8")].concat())]),
        ] {
            assert_eq!(weakened(&old, &new), Vec::<String>::new(), "{old:?} -> {new:?}");
            assert_ne!(weakened(&new, &old), Vec::<String>::new(), "{new:?} -> {old:?}");
        }
    }

    #[test]
    fn what_is_lost_is_named() {
        use GateOp::{Le, Lt};
        let old = [test("a", Le, "5"), test("b", Le, "5")];
        assert_eq!(
            weakened(&old, &[test("a", Lt, "6")]),
            ["requirement loosened: a le 5 -> a lt 6", "requirement gone: b le 5"]
        );
        let texts = |text: &str| Predicate::Test {
            path: "a".to_owned(),
            op: GateOp::Matches,
            value: GateValue::Text(text.to_owned()),
        };
        assert_eq!(weakened(&[texts("x")], &[texts("y")]).len(), 1, "texts cannot be weighed");
    }

    #[test]
    fn consent_that_is_easier_is_told_and_harder_is_not() {
        let member = |name: &str, key: &str| Approver {
            name: name.to_owned(),
            key: Some(key.to_owned()),
            email: Some(format!("{name}@example.com")),
        };
        let strict = Approval {
            group: "team".to_owned(),
            members: Some(vec![member("ana", "aa")]),
            min: 2,
            distinct: true,
            expires_ms: Some(1_000),
            by_name: true,
        };
        let loose = Approval {
            members: Some(vec![member("ana", "aa"), member("ben", "bb")]),
            min: 1,
            distinct: false,
            expires_ms: Some(2_000),
            by_name: false,
            ..strict.clone()
        };
        assert_eq!(
            looser(&strict, &loose),
            [
                "people needed 2 -> 1",
                "the author of the change may approve it",
                "consent to the whole plan is enough",
                "consent stands 1.0 s -> 2.0 s",
                "`ben` may approve, by key bb"
            ]
        );
        assert_eq!(looser(&loose, &strict), Vec::<String>::new());
        let anybody = Approval { members: None, expires_ms: None, ..strict.clone() };
        assert_eq!(looser(&strict, &anybody).len(), 2);
        let mut renamed = strict.clone();
        renamed.members = Some(vec![Approver { email: None, ..member("ana", "aa") }]);
        assert_eq!(looser(&strict, &renamed), ["`ana` is known as an author by another name or address"]);
    }

    #[test]
    fn a_level_that_is_raised_or_taken_away_is_told() {
        use Automation::{Assist, Auto, Manual, Notify};
        for (old, new, is_raised) in [
            (Some(Manual), Some(Assist), true),
            (Some(Manual), None, true),
            (Some(Assist), Some(Notify), true),
            (Some(Auto), None, false),
            (None, Some(Auto), false),
            (None, Some(Manual), false),
            (Some(Notify), Some(Manual), false),
        ] {
            assert_eq!(raised(old, new), is_raised, "{old:?} -> {new:?}");
        }
    }
}
