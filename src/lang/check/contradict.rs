//! Conditions that nothing could meet: taken apart into alternatives, of which each excludes itself. Leaves out
//! whether what they compare exists.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::Decimal;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{Cond, Name, Op};
use crate::lang::order::order;
use crate::lang::ty::Ty;

/// Alternatives that are looked at: a condition of more counts as one that can be met.
const ALTERNATIVES: usize = 256;

/// Tests of one alternative that are looked at.
const TESTS: usize = 64;

/// A comparison with what is known before anything runs.
#[derive(Clone)]
pub(super) struct Test<'a> {
    pub(super) path: &'a Name,
    /// What is compared, which a test may say something of besides its own path.
    pub(super) of: String,
    pub(super) op: Op,
    pub(super) value: String,
    /// The type that both are of; `None`: numbers are numbers, and all else is text.
    pub(super) ty: Option<Ty>,
    /// Whether it is of numbers, and these cannot be negative.
    pub(super) count: bool,
    /// Whether it is the opposite of what is written, and what is compared may be several: then one of these
    /// meets it.
    pub(super) of_one: bool,
    /// As people read it.
    pub(super) shown: String,
}

impl<'a> Test<'a> {
    pub(super) fn new(path: &'a Name, op: Op, value: &str, ty: Option<Ty>, count: bool) -> Self {
        let shown = format!("`{} {} {value}`", path.value, op.word());
        Self { path, of: path.value.clone(), op, value: value.to_owned(), ty, count, of_one: false, shown }
    }

    /// The same of something else, which follows from it.
    pub(super) fn implies(&self, of: String, op: Op, value: &str) -> Self {
        Self { of, op, value: value.to_owned(), count: true, ..self.clone() }
    }

    /// The opposite. `several`: whether what is compared may be several.
    fn opposite(&self, several: bool) -> Option<Self> {
        let op = match self.op {
            Op::Eq => Op::Ne,
            Op::Ne => Op::Eq,
            Op::Lt => Op::Ge,
            Op::Le => Op::Gt,
            Op::Gt => Op::Le,
            Op::Ge => Op::Lt,
            Op::Contains | Op::Matches => return None,
        };
        Some(Self { op, of_one: several, shown: format!("not {}", self.shown), ..self.clone() })
    }

    /// Whether no count passes it.
    fn is_negative(&self) -> bool {
        let below = Decimal::parse(&self.value).zip(Decimal::parse("0")).map(|(value, zero)| value.cmp(&zero));
        match (self.op, below) {
            _ if !self.count => false,
            (Op::Lt, Some(order)) => order.is_le(),
            (Op::Le | Op::Eq, Some(order)) => order.is_lt(),
            _ => false,
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        let numbers = || Decimal::parse(&self.value).zip(Decimal::parse(&other.value)).map(|(a, b)| a.cmp(&b));
        match &self.ty {
            None => numbers().or_else(|| (self.value == other.value).then_some(Ordering::Equal)),
            Some(Ty::Int) => numbers(),
            Some(ty) => order(ty, &self.value, &other.value).ok(),
        }
    }

    /// Whether no value passes both.
    fn excludes(&self, other: &Self) -> bool {
        if self.of != other.of || self.of_one && other.of_one {
            return false;
        }
        let upper = |op: Op| matches!(op, Op::Lt | Op::Le | Op::Eq);
        let lower = |op: Op| matches!(op, Op::Gt | Op::Ge | Op::Eq);
        match (self.op, other.op, self.order(other)) {
            (Op::Eq, Op::Eq, Some(order)) => order.is_ne(),
            // Texts that differ.
            (Op::Eq, Op::Eq, None) => true,
            (Op::Eq, Op::Ne, Some(order)) | (Op::Ne, Op::Eq, Some(order)) => order.is_eq(),
            (one, two, Some(order)) if upper(one) && lower(two) => {
                order.is_lt() || order.is_eq() && (one == Op::Lt || two == Op::Gt)
            }
            (one, two, Some(order)) if lower(one) && upper(two) => {
                order.is_gt() || order.is_eq() && (one == Op::Gt || two == Op::Lt)
            }
            _ => false,
        }
    }
}

/// What is known of the comparisons of conditions, each by the place of what it compares: all that it says.
pub(super) type Known<'a> = BTreeMap<Span, Vec<Test<'a>>>;

/// Tests that must all hold.
type Alternative<'a> = Vec<Test<'a>>;

/// Reports conditions, all of which must hold, that nothing can meet. `several`: whether what they compare may be
/// several, of which all must pass.
pub(super) fn contradictions<'c>(
    conditions: impl IntoIterator<Item = (&'c Cond, Span)>,
    known: &Known<'_>,
    several: bool,
    diagnostics: &mut Diagnostics,
) {
    let conditions: Vec<(&Cond, Span)> = conditions.into_iter().collect();
    let mut always = Vec::new();
    for (condition, _) in &conditions {
        plain(condition, known, &mut always);
    }
    if pairs(&always, diagnostics) {
        return;
    }
    let mut product: Vec<Alternative<'_>> = vec![Vec::new()];
    for (condition, at) in conditions {
        // What has too many alternatives leaves those of the others.
        let Some(more) = of(condition, false, known, several).and_then(|inner| times(&product, &inner)) else {
            continue;
        };
        // A block without an alternative has been reported.
        if more.is_empty() {
            return;
        }
        let why: Option<Vec<String>> = more.iter().map(|alternative| contradiction(alternative)).collect();
        if let Some(why) = why {
            diagnostics.push(never(at, &why));
            return;
        }
        product = more;
    }
}

/// The tests that hold whatever alternative is chosen.
fn plain<'a>(condition: &Cond, known: &Known<'a>, found: &mut Alternative<'a>) {
    match condition {
        Cond::All(all) => all.iter().for_each(|inner| plain(inner, known, found)),
        Cond::Any(all) if all.len() == 1 => plain(&all[0], known, found),
        Cond::Any(_) | Cond::Not(_) => {}
        Cond::Triple(path, ..) => found.extend(known.get(&path.span).into_iter().flatten().cloned()),
    }
}

/// The alternatives of a condition, or of its opposite. `None`: there are too many.
fn of<'a>(condition: &Cond, negated: bool, known: &Known<'a>, several: bool) -> Option<Vec<Alternative<'a>>> {
    let every = |all: &[Cond], negated: bool| {
        let none: Vec<Alternative<'a>> = vec![Vec::new()];
        all.iter().try_fold(none, |product, inner| times(&product, &of(inner, negated, known, several)?))
    };
    let one_of = |all: &[Cond], negated: bool| {
        let mut sum = Vec::new();
        for inner in all {
            sum.extend(of(inner, negated, known, several)?);
            if sum.len() > ALTERNATIVES {
                return None;
            }
        }
        Some(sum)
    };
    match (condition, negated) {
        (Cond::All(all), false) => every(all, false),
        // None of them holds: the opposite of each does.
        (Cond::Not(all), false) | (Cond::Any(all), true) => every(all, true),
        (Cond::All(all), true) => one_of(all, true),
        (Cond::Any(all), false) | (Cond::Not(all), true) => one_of(all, false),
        (Cond::Triple(path, ..), negated) => {
            let tests = known.get(&path.span).map_or(&[][..], Vec::as_slice);
            Some(vec![match tests {
                // What follows from a test says nothing of its opposite.
                [test, ..] if negated => test.opposite(several).into_iter().collect(),
                tests => tests.to_vec(),
            }])
        }
    }
}

fn times<'a>(left: &[Alternative<'a>], right: &[Alternative<'a>]) -> Option<Vec<Alternative<'a>>> {
    let fits = |one: &Alternative<'_>, other: &Alternative<'_>| one.len() + other.len() <= TESTS;
    if left.len().saturating_mul(right.len()) > ALTERNATIVES
        || left.iter().any(|one| right.iter().any(|other| !fits(one, other)))
    {
        return None;
    }
    let pairs = left.iter().flat_map(|one| right.iter().map(move |other| one.iter().chain(other).cloned().collect()));
    Some(pairs.collect())
}

/// What in an alternative excludes the rest, for people.
fn contradiction(tests: &[Test<'_>]) -> Option<String> {
    tests.iter().enumerate().find_map(|(index, test)| {
        let never = test.is_negative().then(|| format!("{} asks for less than 0", test.shown));
        let other = || tests[..index].iter().find(|other| other.excludes(test));
        never.or_else(|| Some(format!("{} excludes {}", other()?.shown, test.shown)))
    })
}

/// Reports pairs of tests that cannot both hold, and single ones that cannot hold of a count.
fn pairs(tests: &[Test<'_>], diagnostics: &mut Diagnostics) -> bool {
    let mut found = false;
    let mut by_path: BTreeMap<&str, Vec<&Test<'_>>> = BTreeMap::new();
    for test in tests {
        by_path.entry(&test.of).or_default().push(test);
    }
    for tests in by_path.into_values() {
        for (index, test) in tests.iter().enumerate() {
            if test.is_negative() {
                found = true;
                diagnostics.push(
                    Diagnostic::new(Code::P0704, test.path.span, format!("this can never be true: {}", test.shown))
                        .with_label("it is never less than 0")
                        .with_help("compare it with a number from 0"),
                );
            }
            if let Some(other) = tests[..index].iter().find(|other| other.excludes(test)) {
                found = true;
                diagnostics.push(
                    Diagnostic::new(
                        Code::P0704,
                        test.path.span,
                        format!("this can never be true: {} and {}", other.shown, test.shown),
                    )
                    .with_label("this one")
                    .with_secondary(other.path.span, "excludes this one")
                    .with_help("change one of them, or put both under `any`"),
                );
                break;
            }
        }
    }
    found
}

/// The first place that a condition names something in.
pub(super) fn first_path(condition: &Cond) -> Option<Span> {
    match condition {
        Cond::All(all) | Cond::Any(all) | Cond::Not(all) => all.iter().find_map(first_path),
        Cond::Triple(path, ..) => Some(path.span),
    }
}

/// The diagnostic for a condition of which every alternative excludes itself, with what is told of each.
fn never(at: Span, why: &[String]) -> Diagnostic {
    /// Alternatives that are told.
    const TOLD: usize = 3;
    let found = match why {
        [why] => Diagnostic::new(Code::P0704, at, format!("this can never be true: {why}")),
        why => why.iter().take(TOLD).fold(
            Diagnostic::new(Code::P0704, at, "this can never be true: each alternative excludes itself"),
            Diagnostic::with_help,
        ),
    };
    found.with_label("with what must hold besides").with_help("change one of them, or remove it")
}
