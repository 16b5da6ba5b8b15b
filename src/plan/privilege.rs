//! The ways in which a change can widen what a plan may do, and what they are called. Leaves out which
//! changes do.

/// In which way a change widens what a plan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// An action may use the network, or may use it without a promised digest.
    Network,
    /// What an action must fetch is another content.
    Pin,
    /// An action whose effects nothing checks does something else.
    Effect,
    /// An action may run less isolated.
    Isolation,
    /// The plan starts a program it did not start, or takes another for it.
    Tool,
    /// A variable of the caller's environment reaches a process.
    PassEnv,
    /// An action no longer waits for another that decided whether it may run, or that one lets more through.
    Gate,
    /// More starts by itself, without people.
    Automation,
    /// What is asked for is served by another tool or agent, or under another price.
    Route,
    /// A process is given a secret, or a secret comes from elsewhere.
    Secret,
    /// More may be spent, or others own the plan.
    Budget,
    /// What others wrote is new, is another, or may do more.
    Package,
    /// What is trusted is more.
    Trust,
}

impl Privilege {
    /// The word in every form of a difference.
    pub fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Pin => "pin",
            Self::Effect => "effect",
            Self::Isolation => "isolation",
            Self::Tool => "tool",
            Self::PassEnv => "pass-env",
            Self::Gate => "gate",
            Self::Automation => "automation",
            Self::Route => "route",
            Self::Secret => "secret",
            Self::Budget => "budget",
            Self::Package => "package",
            Self::Trust => "trust",
        }
    }

    /// What it means, as a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Network => "An action may use the network, or use it without a promised digest",
            Self::Pin => "What an action fetches must have another content than before",
            Self::Effect => "An action that may use the network freely does something else than before",
            Self::Isolation => "An action may run less isolated than before",
            Self::Tool => "A program is started that was not, or another program is taken for it",
            Self::PassEnv => "A variable of the caller's environment reaches a process",
            Self::Gate => {
                "An action no longer waits for one that decided whether it may run, or that one lets more through"
            }
            Self::Automation => "More starts by itself than before",
            Self::Route => "What is asked for is served by another tool or agent than before, or at another price",
            Self::Secret => "A process is given a secret that it was not, or a secret comes from elsewhere",
            Self::Budget => "More may be spent than before, or another tenant owns the plan",
            Self::Package => "A package of others is new, is another, or may do more than before",
            Self::Trust => "More is trusted than before: capabilities, tiers, skills",
        }
    }

    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Network,
        Self::Pin,
        Self::Effect,
        Self::Isolation,
        Self::Tool,
        Self::PassEnv,
        Self::Gate,
        Self::Automation,
        Self::Route,
        Self::Secret,
        Self::Budget,
        Self::Package,
        Self::Trust,
    ];
}
