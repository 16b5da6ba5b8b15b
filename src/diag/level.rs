//! Levels of warnings: what a person who starts a command wants of them. Leaves out `allow` in specs,
//! which comes first and is `lang`'s.

use std::collections::BTreeMap;
use std::fmt;

use crate::diag::{Code, Diagnostics, Severity, did_you_mean};

/// What becomes of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It is not said.
    Allow,
    /// It is said.
    Warn,
    /// It is an error.
    Deny,
}

/// The word that stands for every warning.
const ALL: &str = "warnings";

/// Why a level cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// There is no such code; perhaps this one was meant.
    Unknown(String, Option<&'static str>),
    /// The code is an error, which has no level.
    IsError(Code),
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name, _) => write!(f, "there is no warning `{name}`"),
            Self::IsError(code) => write!(f, "`{code}` is an error, and only warnings have a level"),
        }
    }
}

impl LevelError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown(_, Some(near)) => format!("did you mean `{near}`?"),
            Self::Unknown(_, None) => "warnings have codes such as `P1001`, told where they are said".to_owned(),
            Self::IsError(code) => format!("mend it instead: `partita explain {code}`"),
        }
    }
}

/// The codes that are warnings.
fn warnings() -> Vec<&'static str> {
    Code::ALL.iter().filter(|code| code.info().severity == Severity::Warning).map(|code| code.as_str()).collect()
}

/// The code of a warning by its name.
pub fn warning_named(name: &str) -> Result<Code, LevelError> {
    match name.parse::<Code>() {
        Ok(code) if code.info().severity == Severity::Warning => Ok(code),
        Ok(code) => Err(LevelError::IsError(code)),
        Err(()) => Err(LevelError::Unknown(name.to_owned(), did_you_mean(&name.to_ascii_uppercase(), warnings()))),
    }
}

/// Levels as asked for. A code that is named has the strictest level it was given; all others have
/// that of `warnings`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    named: BTreeMap<Code, Level>,
    rest: Option<Level>,
}

impl Levels {
    /// Sets the level of a code, or of `warnings`.
    pub fn set(&mut self, name: &str, level: Level) -> Result<(), LevelError> {
        if name == ALL {
            self.rest = self.rest.max(Some(level));
            return Ok(());
        }
        let known = self.named.entry(warning_named(name)?).or_insert(level);
        *known = level.max(*known);
        Ok(())
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.rest.is_none()
    }

    /// The level of a code, and whether the code itself was named.
    fn of(&self, code: Code) -> (Option<Level>, bool) {
        match self.named.get(&code) {
            Some(level) => (Some(*level), true),
            None => (self.rest, false),
        }
    }

    /// Whether a warning is not said.
    pub fn hides(&self, code: Code) -> bool {
        self.of(code).0 == Some(Level::Allow) && code.info().severity == Severity::Warning
    }

    /// Applies them to what is a warning.
    pub fn apply(&self, diagnostics: &mut Diagnostics) {
        if self.is_empty() {
            return;
        }
        let is_warning = |severity| severity == Severity::Warning;
        diagnostics.retain(|item| !is_warning(item.severity) || self.of(item.code).0 != Some(Level::Allow));
        diagnostics.change(|item| {
            if let (true, (Some(Level::Deny), named)) = (is_warning(item.severity), self.of(item.code)) {
                item.severity = Severity::Error;
                let asked = if named { item.code.as_str() } else { ALL };
                item.help.push(format!("a warning in itself: `-D {asked}` makes it an error"));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, LevelError, Levels, warning_named};
    use crate::diag::{Code, Diagnostic, Diagnostics, Severity, SourceId, Span};

    fn three() -> Diagnostics {
        let mut all = Diagnostics::default();
        for (at, code) in [Code::P1001, Code::P1002, Code::P0101].into_iter().enumerate() {
            all.push(Diagnostic::new(code, Span::new(SourceId(0), at, at + 1), "m"));
        }
        all
    }

    fn after(asked: &[(&str, Level)]) -> Vec<(Code, Severity)> {
        let mut levels = Levels::default();
        for (name, level) in asked {
            levels.set(name, *level).unwrap();
        }
        let mut all = three();
        levels.apply(&mut all);
        all.sorted().into_iter().map(|item| (item.code, item.severity)).collect()
    }

    #[test]
    fn a_named_code_wins_over_all_warnings() {
        use Severity::{Error, Warning};
        let error = (Code::P0101, Error);
        assert_eq!(after(&[]), [(Code::P1001, Warning), (Code::P1002, Warning), error]);
        assert_eq!(after(&[("warnings", Level::Deny)]), [(Code::P1001, Error), (Code::P1002, Error), error]);
        assert_eq!(
            after(&[("warnings", Level::Deny), ("P1001", Level::Warn)]),
            [(Code::P1001, Warning), (Code::P1002, Error), error]
        );
        assert_eq!(after(&[("warnings", Level::Deny), ("p1002", Level::Allow)]), [(Code::P1001, Error), error]);
        assert_eq!(after(&[("warnings", Level::Allow)]), [error]);
        assert_eq!(
            after(&[("P1001", Level::Deny), ("P1001", Level::Allow)]),
            [(Code::P1001, Error), (Code::P1002, Warning), error]
        );
    }

    #[test]
    fn errors_have_no_level() {
        assert_eq!(warning_named("P0301"), Err(LevelError::IsError(Code::P0301)));
        assert_eq!(warning_named("P101"), Err(LevelError::Unknown("P101".to_owned(), Some("P1001"))));
        assert!(Levels::default().set("P0301", Level::Deny).is_err());
    }
}
