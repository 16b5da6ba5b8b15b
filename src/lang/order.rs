//! How values of a type compare: durations, sizes and money by what they measure, versions by their precedence,
//! every other text letter by letter. Leaves out where the values come from.

use std::cmp::Ordering;

use semver::Version;

use crate::lang::ty::{Ty, measure};

/// Whether texts of a type are compared by what they stand for.
pub(crate) fn is_measured(ty: &Ty) -> bool {
    matches!(ty, Ty::Dur | Ty::Size | Ty::Money | Ty::Semver)
}

/// The order of two texts of a type. The error is the one that is not of the type.
pub(crate) fn order<'t>(ty: &Ty, left: &'t str, right: &'t str) -> Result<Ordering, &'t str> {
    match ty {
        Ty::Dur | Ty::Size | Ty::Money => Ok(measure(ty, left).ok_or(left)?.cmp(&measure(ty, right).ok_or(right)?)),
        Ty::Semver => {
            let version = |text: &'t str| Version::parse(text).map_err(|_| text);
            Ok(version(left)?.cmp_precedence(&version(right)?))
        }
        _ => Ok(left.cmp(right)),
    }
}

/// Whether two texts of a type are the same value.
pub(crate) fn same(ty: &Ty, left: &str, right: &str) -> bool {
    left == right || is_measured(ty) && order(ty, left, right).is_ok_and(Ordering::is_eq)
}

/// One text for all of a type that are the same value.
pub(crate) fn one_form(ty: &Ty, text: &str) -> String {
    match ty {
        Ty::Semver => Version::parse(text).map_or_else(
            |_| text.to_owned(),
            |version| Version { build: semver::BuildMetadata::EMPTY, ..version }.to_string(),
        ),
        ty => measure(ty, text).map_or_else(|| text.to_owned(), |measured| measured.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_what_they_are() {
        for (ty, left, right, is) in [
            (Ty::Size, "1MiB", "1024KiB", Ordering::Equal),
            (Ty::Size, "9MiB", "10MiB", Ordering::Less),
            (Ty::Dur, "90s", "2m", Ordering::Less),
            (Ty::Dur, "1m30s", "90s", Ordering::Equal),
            (Ty::Money, "10.00", "9.00", Ordering::Greater),
            (Ty::Money, "10", "10.00", Ordering::Equal),
            (Ty::Semver, "1.10.0", "1.9.0", Ordering::Greater),
            (Ty::Semver, "1.0.0-rc.1", "1.0.0", Ordering::Less),
            (Ty::Semver, "1.0.0+b", "1.0.0+a", Ordering::Equal),
            (Ty::String, "10", "9", Ordering::Less),
        ] {
            assert_eq!(order(&ty, left, right), Ok(is), "{ty} {left} {right}");
            assert_eq!(same(&ty, left, right), is.is_eq(), "{ty} {left} {right}");
            assert_eq!(one_form(&ty, left) == one_form(&ty, right), is.is_eq(), "{ty} {left} {right}");
        }
        assert_eq!(order(&Ty::Size, "1MiB", "much"), Err("much"));
    }
}
