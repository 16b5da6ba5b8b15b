//! What an API is asked that serves an agent: where, as whom, in which form, and within which limits. Leaves out the
//! prompt, which another action makes, and the asking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{RelPath, Value};

/// How an API is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Vendor {
    /// Messages, as Anthropic has them.
    Anthropic,
    /// Chat completions, as `OpenAI` and many others have them.
    OpenAi,
    /// By a template of its own.
    Custom,
}

impl Vendor {
    /// All.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::OpenAi, Self::Custom];

    /// The word in specs and plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Custom => "custom",
        }
    }
}

/// What an API is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAsk {
    /// Where: the whole address.
    pub url: String,
    /// How it is spoken to.
    pub vendor: Vendor,
    /// The model.
    pub model: String,
    /// Headers, by name. Those that hold secrets are among the action's secrets.
    pub headers: BTreeMap<String, String>,
    /// What stands before the secret in a header: `Bearer`.
    pub schemes: BTreeMap<String, String>,
    /// The template of the body, of a vendor that has none.
    pub body: Option<String>,
    /// Where the answer is in what comes back: a JSON pointer.
    pub answer: Option<String>,
    /// Where the numbers of tokens are that were given and made: two JSON pointers.
    pub usage: Option<[String; 2]>,
    /// How many tokens may be given and made in an attempt.
    pub tokens: Option<u64>,
    /// How often it may be asked in an attempt.
    pub turns: u64,
    /// The staged request.
    pub request: RelPath,
}

/// What tokens cost, in micro-dollars for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of what is given.
    pub input: u64,
    /// Of what is made.
    pub output: u64,
    /// For how many tokens.
    pub tokens: u64,
}

impl Price {
    /// What so many tokens cost, rounded up.
    pub fn of(self, input: u64, output: u64) -> u64 {
        let total =
            (u128::from(input) * u128::from(self.input)).saturating_add(u128::from(output) * u128::from(self.output));
        u64::try_from(total.div_ceil(u128::from(self.tokens.max(1)))).unwrap_or(u64::MAX)
    }
}

impl HttpAsk {
    /// The value that is keyed.
    pub(crate) fn keyed(&self) -> Value {
        let map = |map: &BTreeMap<String, String>| {
            Value::Map(map.iter().map(|(name, value)| (name.clone(), Value::text(value))).collect())
        };
        let texts = |text: &Option<String>| Value::List(text.iter().map(Value::text).collect());
        Value::List(vec![
            Value::texts([self.url.as_str(), self.vendor.word(), &self.model, self.request.as_str()]),
            map(&self.headers),
            map(&self.schemes),
            texts(&self.body),
            texts(&self.answer),
            Value::texts(self.usage.iter().flatten()),
            Value::List(self.tokens.iter().copied().map(Value::Int).collect()),
            Value::Int(self.turns),
        ])
    }

    /// One line for people.
    pub fn shown(&self) -> String {
        let headers: Vec<&str> = self.headers.keys().map(String::as_str).collect();
        let headers = if headers.is_empty() { String::new() } else { format!(" with headers {}", headers.join(", ")) };
        let tokens = self.tokens.map_or(String::new(), |tokens| format!(", at most {tokens} tokens"));
        let turns = if self.turns > 1 { format!(", in {} turns", self.turns) } else { String::new() };
        format!("asks {} as {} for model {}{headers}{tokens}{turns}", self.url, self.vendor.word(), self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_rounded_up_once() {
        let price = Price { input: 1_000_000, output: 5_000_000, tokens: 1_000_000 };
        assert_eq!(price.of(100, 20), 200);
        let cheap = Price { input: 1, output: 1, tokens: 1_000_000 };
        assert_eq!((cheap.of(0, 0), cheap.of(1, 0), cheap.of(1_000_000, 1)), (0, 1, 2));
        assert_eq!(Price { input: u64::MAX, output: u64::MAX, tokens: 1 }.of(u64::MAX, u64::MAX), u64::MAX);
    }
}
