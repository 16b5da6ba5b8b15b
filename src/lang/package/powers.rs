//! Powers: what specs of a package may not do by themselves, because it is written by others. Each needs
//! a `grant` in the root file of the workspace. Leaves out whether there is one: see `load`.

use crate::diag::Span;
use crate::lang::{Kind, Node, Value};

/// What a package may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Values of the caller's environment: secrets and variables handed through.
    Env,
    /// The network: effects, classes of action that reach it, agents over HTTP.
    Net,
    /// Absolute paths of the machine.
    Path,
    /// Programs that are files, of the package or the workspace, as opposed to names on `PATH`.
    Tool,
}

impl Power {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Env, Self::Net, Self::Path, Self::Tool];

    /// The word in a `grant`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Net => "net",
            Self::Path => "path",
            Self::Tool => "tool",
        }
    }

    /// The power of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|power| power.word() == word)
    }

    /// What it allows, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Env => "to read the caller's environment",
            Self::Net => "to use the network",
            Self::Path => "to name absolute paths of the machine",
            Self::Tool => "to run programs by their path",
        }
    }
}

/// A power that a spec asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) power: Power,
    pub(crate) span: Span,
    /// What asks for it.
    pub(crate) what: String,
}

/// Classes of action that may reach the network.
const NET_CLASSES: &[&str] = &["fixed", "volatile", "effect"];

/// Nodes below which text is data: what stands there asks for nothing.
const DATA: &[&str] = &["let", "with", "arg", "write", "prompt"];

/// The powers that the nodes of a spec ask for.
pub(crate) fn powers_asked(nodes: &[Node]) -> Vec<Ask> {
    let mut asks = Vec::new();
    let mut open: Vec<&Node> = nodes.iter().rev().collect();
    while let Some(node) = open.pop() {
        if DATA.contains(&node.name.value.as_str()) {
            continue;
        }
        of_node(node, &mut asks);
        open.extend(node.children.iter().flatten().rev());
    }
    asks
}

fn of_node(node: &Node, asks: &mut Vec<Ask>) {
    let name = node.name.value.as_str();
    let mut ask = |power, value: Option<&Value>, what: String| {
        asks.push(Ask { power, span: value.map_or(node.name.span, |value| value.span), what });
    };
    let prop = |name: &str| node.props.iter().find(|prop| prop.name.value == name).map(|prop| &prop.value);
    match name {
        "secret" => ask(Power::Env, prop("from"), "a secret of the caller".to_owned()),
        "pass-env" => {
            for value in &node.args {
                ask(Power::Env, Some(value), format!("the variable `{}`", shown(value)));
            }
        }
        "effects" => {
            for value in node.args.iter().filter(|value| text(value).is_some_and(|text| text.starts_with("net"))) {
                ask(Power::Net, Some(value), "a tool that uses the network".to_owned());
            }
        }
        "url" => ask(Power::Net, node.args.first(), "an address on the network".to_owned()),
        "exec" | "executable" => {
            if let Some(value) = node.args.first()
                && let Some(program) = text(value)
                && program.contains('/')
            {
                let power = if program.starts_with('/') { Power::Path } else { Power::Tool };
                ask(power, Some(value), format!("the program `{program}`"));
            }
        }
        _ => {}
    }
    if let Some(class) = prop("class")
        && NET_CLASSES.contains(&text(class).unwrap_or_default())
    {
        ask(Power::Net, Some(class), format!("an action of class `{}`", shown(class)));
    }
}

fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

fn shown(value: &Value) -> &str {
    text(value).unwrap_or("…")
}
