//! Gates as the plan holds them: what is read, what must hold, who must approve. Leaves out reading
//! (`exec`) and how they are declared (`lang`).

use serde::{Deserialize, Serialize};

use crate::base::{Digest, RelPath, Value};

/// How a subject of a gate is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reads {
    /// A file, which may be text.
    File,
    /// A folder.
    Dir,
    /// A unified diff.
    Diff,
    /// A JUnit report.
    Junit,
    /// A JSON document.
    Json,
}

impl Reads {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::File, Self::Dir, Self::Diff, Self::Junit, Self::Json];

    /// The word in plans and keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Diff => "diff",
            Self::Junit => "junit",
            Self::Json => "json",
        }
    }
}

/// Something a gate looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GateSubject {
    /// The parameter.
    pub name: String,
    /// How it is read.
    pub reads: Reads,
    /// Where it is staged; several where several instances make it, each of which is looked at.
    pub at: Vec<RelPath>,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GateOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// A text holds a text, or a list an element.
    Contains,
    /// A text matches a regular expression somewhere.
    Matches,
}

impl GateOp {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Eq, Self::Ne, Self::Lt, Self::Le, Self::Gt, Self::Ge, Self::Contains, Self::Matches];

    /// The word in specs, plans and keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Contains => "contains",
            Self::Matches => "matches",
        }
    }
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GateValue {
    /// A decimal number as written; sizes in bytes and durations in milliseconds too.
    Number(String),
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
}

impl GateValue {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Number(text) => text.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Predicate {
    /// What stands at a path compares so with a value.
    Test {
        /// The subject and the path in it, with dots.
        path: String,
        /// How.
        op: GateOp,
        /// With what.
        value: GateValue,
    },
    /// All hold.
    All(Vec<Predicate>),
    /// One holds.
    Any(Vec<Predicate>),
    /// None holds.
    Not(Vec<Predicate>),
}

impl Predicate {
    /// For people: `report.failed eq 0`.
    pub fn shown(&self) -> String {
        let join = |all: &[Self], between: &str| all.iter().map(Self::shown).collect::<Vec<_>>().join(between);
        match self {
            Self::Test { path, op, value } => format!("{path} {} {}", op.word(), value.shown()),
            Self::All(all) if all.len() == 1 => all[0].shown(),
            Self::All(all) => format!("all({})", join(all, ", ")),
            Self::Any(all) => format!("any({})", join(all, ", ")),
            Self::Not(all) => format!("not({})", join(all, ", ")),
        }
    }

    /// As it enters keys.
    pub(crate) fn keyed(&self) -> Value {
        let many = |tag: &str, all: &[Self]| {
            let mut parts = vec![Value::text(tag)];
            parts.extend(all.iter().map(Self::keyed));
            Value::List(parts)
        };
        match self {
            Self::Test { path, op, value } => {
                let value = match value {
                    GateValue::Number(text) => Value::List(vec![Value::text("number"), Value::text(text)]),
                    GateValue::Text(text) => Value::List(vec![Value::text("text"), Value::text(text)]),
                    GateValue::Flag(flag) => Value::List(vec![Value::text("flag"), Value::Flag(*flag)]),
                };
                Value::List(vec![Value::text("test"), Value::text(path), Value::text(op.word()), value])
            }
            Self::All(all) => many("all", all),
            Self::Any(all) => many("any", all),
            Self::Not(all) => many("not", all),
        }
    }
}

/// What sort of assurance a gate gives, which decides the exit status of its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Concern {
    /// Tests: 10.
    Tests,
    /// Performance: 11.
    Performance,
    /// What is there, and what is in it: 12.
    Artifact,
    /// Security: 15.
    Security,
}

impl Concern {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tests, Self::Performance, Self::Artifact, Self::Security];

    /// The word in plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Performance => "performance",
            Self::Artifact => "artifact",
            Self::Security => "security",
        }
    }
}

/// What an action that decides is known by: unkeyed, as it changes no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateNote {
    /// The gate's name in specs.
    pub name: String,
    /// The gate's kind in specs.
    pub kind: String,
    /// What its failure is about.
    pub concern: Concern,
    /// What is said of each requirement that does not hold, in order; of a command there is one.
    pub messages: Vec<Option<String>>,
}

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub name: String,
    /// The id of their key; none: not by a signature of their own yet.
    pub key: Option<String>,
    /// How they sign commits, by which an author is known.
    pub email: Option<String>,
}

/// The consent of people that must be on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The group of those who may give it.
    pub group: String,
    /// Its members; `None`: it is declared nowhere, and every key of the workspace counts.
    pub members: Option<Vec<Approver>>,
    /// How many people.
    pub min: u64,
    /// Whether the author of the change does not count.
    pub distinct: bool,
    /// For how many milliseconds consent stands.
    pub expires_ms: Option<u64>,
    /// Whether consent to the whole plan is not enough: this must be named.
    pub by_name: bool,
}

impl Approval {
    /// As it enters definitions.
    pub(crate) fn keyed(&self) -> Value {
        let text = |text: &Option<String>| Value::text(text.as_deref().unwrap_or(""));
        let members = self.members.as_ref().map(|members| {
            let member = |member: &Approver| {
                Value::List(vec![Value::text(&member.name), text(&member.key), text(&member.email)])
            };
            Value::List(members.iter().map(member).collect())
        });
        let mut parts = vec![
            Value::text(&self.group),
            Value::Int(self.min),
            Value::Flag(self.distinct),
            Value::Int(self.expires_ms.unwrap_or(u64::MAX)),
            Value::Flag(self.by_name),
        ];
        parts.extend(members);
        Value::List(parts)
    }

    /// One line for people.
    pub fn shown(&self) -> String {
        let mut text = format!("{} of {}", self.min, self.group);
        match &self.members {
            Some(members) => {
                let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
                text.push_str(&format!(" ({})", names.join(", ")));
            }
            None => text.push_str(" (anybody with a key of this workspace)"),
        }
        if self.distinct {
            text.push_str(", not the author");
        }
        if let Some(ms) = self.expires_ms {
            let span = crate::base::format_duration(std::time::Duration::from_millis(ms));
            text.push_str(&format!(", good for {span}"));
        }
        if self.by_name {
            text.push_str(", by name");
        }
        text
    }
}

/// How much of a node starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Automation {
    /// Only when a person has named it.
    Manual,
    /// When a person has consented to the plan.
    Assist,
    /// By itself; people are told when it is done.
    Notify,
    /// By itself.
    Auto,
}

impl Automation {
    /// From the least to the most that happens by itself.
    pub const ALL: [Self; 4] = [Self::Manual, Self::Assist, Self::Notify, Self::Auto];

    /// The word in specs and plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Assist => "assist",
            Self::Notify => "notify",
            Self::Auto => "auto",
        }
    }
}

/// What was consented to: the digest of a plan, and where in it.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'a> {
    /// The plan.
    pub plan: Digest,
    /// The address of the approval.
    pub addr: &'a str,
    /// What is asked for.
    pub approval: &'a Approval,
}
