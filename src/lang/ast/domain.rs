//! Declarations of who owns runs and who does the work: tenants, capabilities, providers, agents,
//! skills, and what a tool says of its price and what it serves. Leaves out whether any of it makes
//! sense: see `check`, and which candidate serves: see `route`.

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::diag::Span;
use crate::lang::Spanned;
use crate::lang::ast::{Expr, Name, Param, ReturnsDecl};
use crate::lang::text::Text;
use crate::lang::ty::Ty;

/// An amount of money with its place, in micro-dollars.
pub type Money = Spanned<u64>;

/// What is asked of somebody by capability: by a node or a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskDecl {
    /// The capability; `None` where an agent is named and does its skill.
    pub capability: Option<Name>,
    /// The agent that asks, or that does the work where no capability is declared.
    pub agent: Option<Name>,
    /// Which of the agent's skills.
    pub skill: Option<Name>,
    /// How hard it is, 1 to 10.
    pub complexity: Option<u8>,
    /// Arguments.
    pub with: Vec<(Name, Expr)>,
    /// The property that asks.
    pub at: Span,
}

/// `tenant`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantDecl {
    /// The name.
    pub name: Name,
    /// What its runs may cost.
    pub budget: Option<BudgetDecl>,
    /// Capabilities its runs may use; `None`: any.
    pub allow_capability: Option<Vec<Name>>,
    /// Tiers its runs may use; `None`: primary only.
    pub allow_tier: Option<Vec<Name>>,
    /// Levels of trust a skill may have; `None`: any.
    pub trust: Option<Vec<Name>>,
    /// Limits.
    pub quota: QuotaDecl,
    /// Its share when tenants compete.
    pub weight: u64,
    /// Secrets.
    pub secrets: Vec<SecretDecl>,
    /// Keys its bundles may be signed by; `None`: any.
    pub sign_keys: Option<Vec<Name>>,
    /// The whole declaration.
    pub span: Span,
}

/// `budget`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BudgetDecl {
    /// The most.
    pub usd: Money,
    /// For which time: `run`, `day`, `week` or `month`.
    pub per: String,
    /// What happens at the end of it: `pause` or `stop`.
    pub on_exceed: String,
}

/// `quota`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaDecl {
    /// Jobs at once.
    pub jobs: Option<u64>,
    /// The longest an action may take, in milliseconds.
    pub runtime_ms: Option<u64>,
    /// Bytes of outputs.
    pub artifacts: Option<u64>,
    /// Work items.
    pub work_items: Option<u64>,
    /// Processors an action may hold.
    pub cpu: Option<u64>,
    /// Bytes of memory an action may hold.
    pub memory: Option<u64>,
}

/// `secret`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretDecl {
    /// The name.
    pub name: Name,
    /// `env`, `file` or `command`.
    pub from: String,
    /// The variable, the file, or the command with its arguments.
    pub key: Name,
}

/// What a tool says besides how it is started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OfferDecl {
    /// `primary` or `secondary`.
    pub tier: Option<Name>,
    /// Capabilities it serves, each with how.
    pub provides: Vec<ProvidesDecl>,
    /// What it does besides leaving outputs.
    pub effects: Vec<Name>,
    /// What it costs.
    pub costs: Vec<CostDecl>,
    /// Secrets it needs.
    pub secrets: Vec<NeedDecl>,
}

/// `provides`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvidesDecl {
    /// The capability.
    pub capability: Name,
    /// How; `None`: by the default protocol.
    pub how: Option<HowDecl>,
}

/// The block of `provides`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HowDecl {
    /// Arguments.
    pub args: Vec<Expr>,
    /// Environment.
    pub env: Vec<(Name, Expr)>,
    /// Where it leaves what the capability returns.
    pub outputs: Vec<(Name, Text)>,
}

/// `cost`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CostDecl {
    /// How much.
    pub usd: Money,
    /// For what.
    pub per: CostPer,
}

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CostPer {
    /// Once in a run, however often it is started.
    Run,
    /// Each start.
    Call,
    /// Each begun minute.
    Minute,
}

/// `needs-secret`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NeedDecl {
    /// The secret.
    pub secret: Name,
    /// The variable it is given in.
    pub env: String,
}

/// `capability`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapabilityDecl {
    /// The name.
    pub name: Name,
    /// What it is given.
    pub accepts: Vec<Param>,
    /// What it leaves.
    pub returns: Vec<ReturnsDecl>,
    /// Who may serve it, in order of preference.
    pub candidates: Vec<CandidateDecl>,
    /// Whether all that it accepts was understood.
    pub accepts_known: bool,
    /// Whether all that it returns was understood.
    pub returns_known: bool,
    /// The whole declaration.
    pub span: Span,
}

/// `candidate`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CandidateDecl {
    /// A tool, an agent, or another capability.
    pub name: Name,
    /// Of an agent, the skill it serves by.
    pub skill: Option<Name>,
    /// The most one use of it may cost.
    pub max_usd: Option<Money>,
}

/// How a provider is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderKind {
    /// A program.
    Command,
    /// An HTTP API.
    Http,
}

/// `provider`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderDecl {
    /// The name.
    pub name: Name,
    /// How it is reached.
    pub kind: ProviderKind,
    /// The program, as a tool: of `kind=command`.
    pub command: Option<super::ToolDecl>,
    /// The address: of `kind=http`.
    pub url: Option<Name>,
    /// The model, as the provider calls it.
    pub model: Option<String>,
    /// What its models cost.
    pub prices: Vec<ModelPriceDecl>,
    /// Secrets it needs.
    pub secrets: Vec<NeedDecl>,
    /// How it is spoken to: of `kind=http`.
    pub http: HttpDecl,
}

/// How an API is spoken to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HttpDecl {
    /// The vendor whose way it is.
    pub vendor: Option<Name>,
    /// Headers.
    pub headers: Vec<HeaderDecl>,
    /// The template of the body.
    pub body: Option<Name>,
    /// Where the answer is.
    pub answer: Option<Name>,
    /// Where the numbers of tokens are.
    pub usage: Option<[Name; 2]>,
}

/// `header`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeaderDecl {
    /// The name.
    pub name: Name,
    /// The value, where it is a text.
    pub text: Option<String>,
    /// The secret it is instead.
    pub secret: Option<Name>,
    /// What stands before the secret.
    pub scheme: Option<String>,
}

/// `price`: micro-dollars for so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceDecl {
    /// Of what is given.
    pub input: u64,
    /// Of what is made.
    pub output: u64,
    /// For how many tokens.
    pub tokens: u64,
}

/// `price` of a provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelPriceDecl {
    /// The model it is of; `None`: the provider's own.
    pub model: Option<Name>,
    /// The price.
    pub price: PriceDecl,
    /// The whole node.
    pub span: Span,
}

impl ProviderDecl {
    /// The price that is given for a model by its name.
    pub fn own_price(&self, model: &str) -> Option<PriceDecl> {
        let found = self.prices.iter().find(|priced| priced.model.as_ref().is_some_and(|name| name.value == model));
        found.map(|priced| priced.price)
    }

    /// What tokens of a model cost; without one, of the provider's own. A model has no price of its own only where
    /// that is the provider's, or all is free.
    pub fn price_of(&self, model: Option<&str>) -> Option<PriceDecl> {
        let unnamed = || self.prices.iter().find(|priced| priced.model.is_none()).map(|priced| priced.price);
        model.or(self.model.as_deref()).and_then(|model| self.own_price(model)).or_else(unnamed)
    }
}

/// `agent`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentDecl {
    /// The name.
    pub name: Name,
    /// How it is reached.
    pub provider: Name,
    /// `primary` or `secondary`.
    pub tier: Option<Name>,
    /// Tools it may use; `None`: any.
    pub allow_tool: Option<Vec<Name>>,
    /// Capabilities it may use; `None`: any.
    pub allow_capability: Option<Vec<Name>>,
    /// Capabilities it may not use.
    pub deny_capability: Vec<Name>,
    /// Skills.
    pub skills: Vec<Name>,
    /// What it may cost in a run.
    pub budget: Option<Money>,
    /// Files it may change.
    pub scope: Vec<Name>,
    /// Limits of one attempt.
    pub limits: LimitsDecl,
    /// Models by complexity, besides the provider's.
    pub models: Vec<(Name, u8)>,
}

/// `limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsDecl {
    /// Exchanges with the model.
    pub turns: Option<u64>,
    /// Milliseconds.
    pub wall_ms: Option<u64>,
    /// Tokens, given and made.
    pub tokens: Option<u64>,
}

/// `skill`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkillDecl {
    /// The name.
    pub name: Name,
    /// The template's path, relative to the file of the declaration.
    pub prompt: Option<Name>,
    /// The template itself, where it is written in the declaration.
    pub text: Option<Name>,
    /// Its variables, as parameters.
    pub vars: Vec<Param>,
    /// Whether all variables were understood.
    pub vars_known: bool,
    /// Who vouches for it.
    pub trust: Option<SkillTrustDecl>,
    /// The whole declaration.
    pub span: Span,
}

/// `trust` of a skill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SkillTrustDecl {
    /// `vetted`, `community` or `experimental`.
    pub level: Name,
    /// Who vouches.
    pub by: Option<String>,
    /// The content vouched for.
    pub digest: Option<Spanned<Digest>>,
}

impl AskDecl {
    /// What it is called in messages: by capability, else by agent.
    pub fn name(&self) -> Option<&Name> {
        self.capability.as_ref().or(self.agent.as_ref())
    }
}

impl SkillDecl {
    /// The variables' names and types, in order of names: part of the skill's content.
    pub fn signature(&self) -> Vec<(&str, &Ty)> {
        let mut all: Vec<(&str, &Ty)> = self.vars.iter().map(|var| (var.name.value.as_str(), &var.ty)).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }
}
