//! What came of checking whether an action gives the same again: where it differs, and the probable cause.
//! Closed sets with words. Leaves out how it is found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether an action gave the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every time.
    Equal,
    /// At least once it did not.
    Different,
    /// It was not tried.
    Unchecked,
}

/// What most likely makes an output differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The time at which it ran.
    TimeStamp,
    /// The time zone.
    TimeZone,
    /// Where it ran.
    Path,
    /// The order of a listing, of a set or map, or of things done at once.
    Ordering,
    /// The language and its customs.
    Locale,
    /// Random numbers.
    Randomness,
    /// Where things lie in memory.
    Address,
    /// The number of a process.
    ProcessId,
    /// Who ran it.
    User,
    /// How many processors there were.
    CoreCount,
    /// The umask.
    Permissions,
    /// Something of the surroundings that were varied; which is not clear.
    Surroundings,
    /// Not recognised.
    Unknown,
}

impl Cause {
    /// The cause in plain words.
    pub fn words(self) -> &'static str {
        match self {
            Self::TimeStamp => "a time stamp",
            Self::TimeZone => "the time zone",
            Self::Path => "a path of the folder it ran in",
            Self::Ordering => "an order that is left to chance",
            Self::Locale => "the locale",
            Self::Randomness => "randomness",
            Self::Address => "an address in memory",
            Self::ProcessId => "the number of a process",
            Self::User => "the user",
            Self::CoreCount => "the number of processors",
            Self::Permissions => "permissions, as the umask gives them",
            Self::Surroundings => "the surroundings: folder, time zone, locale, processors, order of files or clock",
            Self::Unknown => "not recognised",
        }
    }
}

/// The place of a difference in a file, or in a member of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "in")]
pub enum Place {
    /// From this byte on.
    Bytes {
        /// The first byte that differs, from 0.
        offset: u64,
        /// The line it is in, from 1, of text.
        line: Option<u64>,
    },
    /// A value of a JSON document.
    Json {
        /// Its path, as `$.files[3].name`.
        path: String,
    },
    /// What an archive says of a member, or a file system of a file.
    Field {
        /// Which: `mtime`, `mode`, `uid`, …
        name: String,
    },
    /// The same parts in another order.
    Order,
    /// It is there only once.
    Presence,
    /// The action itself ended otherwise.
    Exit,
}

/// One difference between the result and what came out when it was made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The output's name.
    pub output: String,
    /// The file, relative to the action's folder.
    pub path: String,
    /// Members of archives, the outermost first.
    pub members: Vec<String>,
    /// The place in it.
    pub place: Place,
    /// What the result has there, shortened.
    pub before: String,
    /// What came out, shortened.
    pub after: String,
    /// The probable cause.
    pub cause: Cause,
}

impl Difference {
    /// Where it is, in a line.
    pub fn located(&self) -> String {
        let mut text = self.path.clone();
        for member in &self.members {
            text.push_str(" > ");
            text.push_str(member);
        }
        match &self.place {
            Place::Bytes { offset, line: Some(line) } => text.push_str(&format!(", line {line} (byte {offset})")),
            Place::Bytes { offset, line: None } => text.push_str(&format!(", byte {offset}")),
            Place::Json { path } => text.push_str(&format!(", {path}")),
            Place::Field { name } => text.push_str(&format!(", its {name}")),
            Place::Order => text.push_str(", the order of its parts"),
            Place::Presence => text.push_str(", which is not always there"),
            Place::Exit => text.push_str("how it ends"),
        }
        text
    }
}

/// What came of checking an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Whether it gave the same again.
    pub verdict: Verdict,
    /// How often it was executed for it.
    pub runs: u32,
    /// Where it differs; empty if it does not. The first of many.
    pub differences: Vec<Difference>,
    /// What else there is to say, as what could not be varied, or why it was not tried.
    pub notes: Vec<String>,
}
