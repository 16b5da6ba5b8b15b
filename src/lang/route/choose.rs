//! The choice among candidates: filters, upper bounds of cost, and budgets that several asks share.
//! Leaves out the forms of the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::format_micro_usd;
use crate::diag::{Code, Diagnostic, Diagnostics, Span};
use crate::lang::ast::{AgentDecl, CostPer, Money, PriceDecl, TenantDecl, ToolDecl};
use crate::lang::check::{Asked, holds, lookup_candidate, skill_of};
use crate::lang::program::{DeclId, DeclKind, FileId, Program};
use crate::lang::route::{Estimate, Rejected, Route};

/// Candidates of one capability, those behind other capabilities counted.
const CANDIDATES: usize = 100;
/// Why a tool cannot be had that has no bound.
const BY_THE_MINUTE: &str = "it costs by the minute, and nothing limits its time: give a `timeout`";
/// Rows of a message.
const SHOWN: usize = 8;

/// What is asked.
pub(crate) struct Asking {
    /// The address of the action that asks.
    pub(crate) addr: String,
    /// What for.
    pub(crate) sought: Sought,
    /// The agent that asks, by declaration.
    pub(crate) agent: Option<DeclId>,
    /// How hard it is.
    pub(crate) complexity: Option<u8>,
    /// The longest an attempt may take.
    pub(crate) timeout_ms: Option<u64>,
    /// Attempts, the first counted.
    pub(crate) attempts: u64,
    /// Where it is asked.
    pub(crate) at: Span,
}

/// What an action wants to be served.
#[derive(Clone, Copy)]
pub(crate) enum Sought {
    /// What it asks for.
    Asked(Asked),
    /// The tool that it names itself: nobody is chosen, but it costs.
    Tool(DeclId),
}

impl Sought {
    /// The capability, if it is one.
    pub(crate) fn capability(self) -> Option<DeclId> {
        match self {
            Self::Asked(Asked::Capability(id)) => Some(id),
            Self::Asked(Asked::Agent(..)) | Self::Tool(_) => None,
        }
    }
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    /// A tool.
    Tool(DeclId),
    /// An agent, by a skill if it has one.
    Agent(DeclId, Option<DeclId>),
}

/// The tenant that owns runs of a graph: the one named on the command line, the graph's own, or
/// `default`. Reports one that there is not.
pub(crate) fn owner(program: &Program, graph: DeclId, diagnostics: &mut Diagnostics) -> Option<DeclId> {
    let decl = program.graph(graph);
    if let Some(name) = &program.tenant {
        let found = program.lookup(graph.file, DeclKind::Tenant, name);
        if found.is_none() {
            let known: Vec<String> = program.visible(graph.file, DeclKind::Tenant).take(SHOWN).collect();
            let help = if known.is_empty() {
                "none is declared here".to_owned()
            } else {
                format!("declared here: {}", known.join(", "))
            };
            diagnostics.push(
                Diagnostic::new(
                    Code::P0201,
                    decl.group.name.span,
                    format!("cannot find tenant `{name}` of the command line"),
                )
                .with_help(help),
            );
        }
        return found;
    }
    match &decl.tenant {
        Some(name) => program.lookup(graph.file, DeclKind::Tenant, &name.value),
        None => program.lookup(graph.file, DeclKind::Tenant, "default"),
    }
}

/// A candidate with what is known of it.
#[derive(Clone)]
struct Offer {
    name: String,
    server: Server,
    tier: String,
    /// What a use costs at most, all attempts together; `None`: there is no bound.
    each: Option<u64>,
    /// What it costs once in a run.
    once: u64,
    price: String,
    max: Option<Money>,
    model: Option<String>,
}

/// What several asks may spend together.
struct Budget {
    /// In the words of messages: `graph \`x\``.
    of: String,
    limit: u64,
    span: Span,
    code: &'static str,
    /// Which asks count, by index, when they are served by whom.
    whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Everybody,
    Agent(DeclId),
}

/// Chooses for all asks of a graph. `None` where something is wrong, which has been reported.
pub(crate) fn choose(
    program: &Program,
    graph: DeclId,
    tenant: Option<DeclId>,
    asks: &[Asking],
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(Server, Route)>> {
    let router = Router { program, home: graph.file, tenant: tenant.map(|id| (id, program.tenant(id))) };
    let mut fitting: Vec<Vec<Offer>> = Vec::with_capacity(asks.len());
    let mut rejected: Vec<Vec<Rejected>> = Vec::with_capacity(asks.len());
    // What nobody serves, for one reason each time.
    let mut unserved: Vec<Vec<&Asking>> = Vec::new();
    let mut known: BTreeMap<Cause, usize> = BTreeMap::new();
    for ask in asks {
        let (fit, refused) = router.filter(ask);
        if fit.is_empty() {
            let at = *known.entry(cause(ask, &refused)).or_insert_with(|| {
                unserved.push(Vec::new());
                unserved.len() - 1
            });
            unserved[at].push(ask);
        }
        fitting.push(fit);
        rejected.push(refused);
    }
    for asks in &unserved {
        router.nobody(asks, diagnostics);
    }
    if !unserved.is_empty() {
        return None;
    }
    let mut fine = true;
    let budgets = router.budgets(graph, asks);
    // The cheapest for each is what any choice can be brought down to.
    let mut picked: Vec<usize> = fitting
        .iter()
        .map(|offers| {
            let cost = |offer: &Offer| offer.each.unwrap_or(0).saturating_add(offer.once);
            (0..offers.len()).min_by_key(|index| cost(&offers[*index])).unwrap_or(0)
        })
        .collect();
    let mut spending = Spending::new(&budgets, asks, &fitting, &picked);
    for (index, budget) in budgets.iter().enumerate() {
        let total = spending.total(index);
        if total > budget.limit {
            over(budget, total, index, asks, &fitting, &picked, diagnostics);
            fine = false;
        }
    }
    if !fine {
        return None;
    }
    let mut served = Vec::with_capacity(asks.len());
    for (at, ask) in asks.iter().enumerate() {
        let offers = &fitting[at];
        let mut chosen = picked[at];
        for wanted in 0..offers.len() {
            spending.replace(at, &offers[picked[at]], &offers[wanted]);
            picked[at] = wanted;
            match (0..budgets.len()).find(|index| spending.total(*index) > budgets[*index].limit) {
                None => {
                    chosen = wanted;
                    break;
                }
                Some(index) => {
                    let budget = &budgets[index];
                    let why = format!(
                        "it would bring {} to ${}, and its budget is ${}",
                        budget.of,
                        format_micro_usd(spending.total(index)),
                        format_micro_usd(budget.limit)
                    );
                    rejected[at].push(refusal(&offers[wanted], budget.code, why));
                }
            }
        }
        if picked[at] != chosen {
            spending.replace(at, &offers[picked[at]], &offers[chosen]);
            picked[at] = chosen;
        }
        for later in &offers[chosen + 1..] {
            if !rejected[at].iter().any(|known| known.candidate == later.name) {
                let why = format!("`{}` comes before it", offers[chosen].name);
                rejected[at].push(refusal(later, "later", why));
            }
        }
        served.push((ask, offers[chosen].clone()));
    }
    let mut first: BTreeMap<Server, &str> = BTreeMap::new();
    let mut order: Vec<usize> = (0..asks.len()).collect();
    order.sort_by(|a, b| asks[*a].addr.cmp(&asks[*b].addr));
    for at in order {
        first.entry(served[at].1.server).or_insert(&asks[at].addr);
    }
    let routes = served.iter().zip(rejected).map(|((ask, offer), rejected)| {
        let shared =
            first.get(&offer.server).filter(|addr| **addr != ask.addr && matches!(offer.server, Server::Tool(_)));
        let route = Route {
            capability: ask.sought.capability().map(|id| program.plan_name(graph.file, DeclKind::Capability, id)),
            agent: ask.agent.map(|id| program.plan_name(graph.file, DeclKind::Agent, id)),
            kind: match offer.server {
                Server::Tool(_) => "tool".to_owned(),
                Server::Agent(..) => "agent".to_owned(),
            },
            chosen: offer.name.clone(),
            tier: offer.tier.clone(),
            model: offer.model.clone(),
            at_most: offer.each.unwrap_or(0),
            once: offer.once,
            price: offer.price.clone(),
            coalesced: shared.map(|addr| (*addr).to_owned()),
            estimate: ask.complexity.map(Estimate::of),
            rejected,
        };
        (offer.server, route)
    });
    Some(routes.collect())
}

/// Why nobody serves: what is asked, by which agent, and what speaks against each candidate.
type Cause = (u8, DeclId, Option<DeclId>, Option<DeclId>, Vec<(String, String)>);

fn cause(ask: &Asking, refused: &[Rejected]) -> Cause {
    let (kind, of, skill) = match ask.sought {
        Sought::Asked(Asked::Capability(id)) => (0, id, None),
        Sought::Asked(Asked::Agent(id, skill)) => (1, id, skill),
        Sought::Tool(id) => (2, id, None),
    };
    let why = refused.iter().map(|item| (item.candidate.clone(), item.why.clone()));
    (kind, of, skill, ask.agent, why.collect())
}

fn refusal(offer: &Offer, code: &str, why: String) -> Rejected {
    Rejected { candidate: offer.name.clone(), code: code.to_owned(), why }
}

struct Router<'a> {
    program: &'a Program,
    /// The file of the graph, from which names are told.
    home: FileId,
    tenant: Option<(DeclId, &'a TenantDecl)>,
}

impl Router<'_> {
    /// The tenant in messages.
    fn tenant_words(&self) -> String {
        self.tenant.map_or_else(
            || "no tenant owns this graph, and without one".to_owned(),
            |(_, decl)| format!("tenant `{}`", decl.name.value),
        )
    }

    /// Candidates in order of preference: primary ones first, else as in the map. Those that may
    /// serve, and those that may not with the reason.
    fn filter(&self, ask: &Asking) -> (Vec<Offer>, Vec<Rejected>) {
        let mut offers = match ask.sought {
            Sought::Tool(tool) => {
                // It is as good as chosen. What it costs must be bounded all the same.
                let offer = self.of_tool(self.program.plan_name(self.home, DeclKind::Tool, tool), tool, None, ask);
                return match offer.each {
                    Some(_) => (vec![offer], Vec::new()),
                    None => (Vec::new(), vec![refusal(&offer, "unbounded", BY_THE_MINUTE.to_owned())]),
                };
            }
            Sought::Asked(Asked::Capability(id)) => self.candidates(id, ask),
            Sought::Asked(Asked::Agent(agent, skill)) => {
                let name = self.program.plan_name(self.home, DeclKind::Agent, agent);
                vec![self.of_agent(name, agent, skill, None, ask)]
            }
        };
        offers.sort_by_key(|offer| offer.tier != "primary");
        let (mut fit, mut refused) = (Vec::new(), Vec::new());
        for offer in offers {
            match self.objection(ask, &offer) {
                None => fit.push(offer),
                Some((code, why)) => refused.push(refusal(&offer, code, why)),
            }
        }
        (fit, refused)
    }

    /// All candidates of a capability; those that are capabilities stand for their own.
    fn candidates(&self, capability: DeclId, ask: &Asking) -> Vec<Offer> {
        let program = self.program;
        let mut offers: Vec<Offer> = Vec::new();
        let mut seen: BTreeSet<DeclId> = BTreeSet::from([capability]);
        // The next one last.
        let mut todo: Vec<(FileId, &crate::lang::ast::CandidateDecl, Option<Money>)> = Vec::new();
        let push = |todo: &mut Vec<_>, id: DeclId, max: Option<Money>| {
            todo.extend(program.capability(id).candidates.iter().rev().map(|candidate| {
                let least = match (&candidate.max_usd, &max) {
                    (Some(own), Some(outer)) if outer.value < own.value => Some(outer.clone()),
                    (own, outer) => own.clone().or_else(|| outer.clone()),
                };
                (id.file, candidate, least)
            }));
        };
        push(&mut todo, capability, None);
        while let Some((file, candidate, max)) = todo.pop() {
            if offers.len() >= CANDIDATES {
                break;
            }
            match lookup_candidate(program, file, &candidate.name.value) {
                Some((DeclKind::Tool, id)) => {
                    offers.push(self.of_tool(program.plan_name(self.home, DeclKind::Tool, id), id, max, ask));
                }
                Some((DeclKind::Agent, id)) => {
                    let mut quiet = Diagnostics::default();
                    let named = candidate.skill.as_ref().map(|skill| (file, skill));
                    let skill = skill_of(program, id, named, &candidate.name, &mut quiet);
                    let name = program.plan_name(self.home, DeclKind::Agent, id);
                    offers.push(self.of_agent(name, id, skill, max, ask));
                }
                Some((_, id)) if seen.insert(id) => push(&mut todo, id, max),
                _ => {}
            }
        }
        offers
    }

    fn of_tool(&self, name: String, id: DeclId, max: Option<Money>, ask: &Asking) -> Offer {
        let tool = self.program.tool(id);
        let mut each = Some(0_u64);
        let mut once = 0_u64;
        let mut words = Vec::new();
        for cost in &tool.offer.costs {
            let usd = cost.usd.value;
            let shown = format_micro_usd(usd);
            let add = match cost.per {
                CostPer::Run => {
                    once = once.saturating_add(usd);
                    words.push(format!("${shown} a run"));
                    Some(0)
                }
                CostPer::Call => {
                    words.push(times(&format!("${shown} a call"), ask.attempts));
                    Some(usd.saturating_mul(ask.attempts))
                }
                CostPer::Minute if usd == 0 => Some(0),
                CostPer::Minute => ask.timeout_ms.map(|ms| {
                    let minutes = ms.div_ceil(60_000);
                    words.push(times(&format!("${shown} a minute × {minutes} min"), ask.attempts));
                    usd.saturating_mul(minutes).saturating_mul(ask.attempts)
                }),
            };
            each = each.zip(add).map(|(sum, add)| sum.saturating_add(add));
        }
        let price = if words.is_empty() { "free".to_owned() } else { words.join(" + ") };
        Offer {
            name,
            server: Server::Tool(id),
            tier: tier(tool.offer.tier.as_ref()),
            each,
            once,
            price,
            max,
            model: None,
        }
    }

    fn of_agent(&self, name: String, id: DeclId, skill: Option<DeclId>, max: Option<Money>, ask: &Asking) -> Offer {
        let program = self.program;
        let agent = program.agent(id);
        let provider =
            program.lookup(id.file, DeclKind::Provider, &agent.provider.value).map(|id| program.provider(id));
        let model = model(agent, ask.complexity).or_else(|| provider.and_then(|provider| provider.model.clone()));
        let (each, price) = match provider.and_then(|provider| provider.price_of(model.as_deref())) {
            None | Some(PriceDecl { input: 0, output: 0, .. }) => (Some(0), "free".to_owned()),
            Some(price) => match agent.limits.tokens {
                Some(tokens) => {
                    // All of them may be of the dearer kind.
                    let dearer = price.input.max(price.output);
                    let one =
                        u64::try_from((u128::from(tokens) * u128::from(dearer)).div_ceil(u128::from(price.tokens)));
                    let one = one.unwrap_or(u64::MAX);
                    let shown = format!("{tokens} tokens at ${} for {}", format_micro_usd(dearer), price.tokens);
                    (Some(one.saturating_mul(ask.attempts)), times(&shown, ask.attempts))
                }
                None => (None, "no limit of tokens".to_owned()),
            },
        };
        let server = Server::Agent(id, skill);
        Offer { name, server, tier: tier(agent.tier.as_ref()), each, once: 0, price, max, model }
    }

    /// Why a candidate may not serve.
    fn objection(&self, ask: &Asking, offer: &Offer) -> Option<(&'static str, String)> {
        let program = self.program;
        let capability = ask.sought.capability();
        if let (Some(agent), Server::Tool(tool)) = (ask.agent, offer.server) {
            let decl = program.agent(agent);
            let allowed =
                |name: &crate::lang::ast::Name| program.lookup(agent.file, DeclKind::Tool, &name.value) == Some(tool);
            if decl.allow_tool.as_ref().is_some_and(|list| !list.iter().any(allowed)) {
                return Some((
                    "agent-tool",
                    format!("agent `{}` may not use it: it is not in `allow-tool`", decl.name.value),
                ));
            }
        }
        if let (Some(capability), Server::Agent(agent, _)) = (capability, offer.server) {
            let decl = program.agent(agent);
            let name = program.plan_name(self.home, DeclKind::Capability, capability);
            if holds(program, agent.file, &decl.deny_capability, capability) {
                return Some(("agent-capability", format!("`{name}` is denied to it")));
            }
            if decl.allow_capability.as_ref().is_some_and(|list| !holds(program, agent.file, list, capability)) {
                return Some(("agent-capability", format!("`{name}` is not in its `allow-capability`")));
            }
        }
        if let (Some(capability), Some((tenant, decl))) = (capability, self.tenant)
            && decl.allow_capability.as_ref().is_some_and(|list| !holds(program, tenant.file, list, capability))
        {
            let name = program.plan_name(self.home, DeclKind::Capability, capability);
            return Some(("tenant-capability", format!("tenant `{}` does not allow `{name}`", decl.name.value)));
        }
        let tiers = self.tenant.and_then(|(_, decl)| decl.allow_tier.as_ref());
        let allowed = tiers.map_or(offer.tier == "primary", |tiers| tiers.iter().any(|tier| tier.value == offer.tier));
        if !allowed {
            let why = match self.tenant {
                Some((_, decl)) => format!("tenant `{}` does not allow the {} tier", decl.name.value, offer.tier),
                None => format!("it is of the {} tier, and no tenant owns the graph that would allow it", offer.tier),
            };
            return Some(("tenant-tier", why));
        }
        self.unable(ask, offer)
    }

    /// Why a candidate that is allowed cannot serve: secrets, trust, cost of its own.
    fn unable(&self, ask: &Asking, offer: &Offer) -> Option<(&'static str, String)> {
        let program = self.program;
        let mut needs: Vec<&str> = Vec::new();
        match offer.server {
            Server::Tool(id) => {
                needs.extend(program.tool(id).offer.secrets.iter().map(|need| need.secret.value.as_str()));
            }
            Server::Agent(id, skill) => {
                let agent = program.agent(id);
                let provider = program.lookup(id.file, DeclKind::Provider, &agent.provider.value);
                let provider = provider.map(|id| program.provider(id));
                needs.extend(provider.into_iter().flat_map(|p| &p.secrets).map(|need| need.secret.value.as_str()));
                if let (Some(skill), Some((_, tenant))) = (skill, self.tenant)
                    && let Some(levels) = &tenant.trust
                {
                    let level = program.trust_of(skill);
                    if !levels.iter().any(|known| known.value == level) {
                        let name = program.plan_name(self.home, DeclKind::Skill, skill);
                        let why = format!(
                            "its skill `{name}` is {level}, which tenant `{}` does not accept",
                            tenant.name.value
                        );
                        return Some(("trust", why));
                    }
                }
                if let (Some(each), Some(budget)) = (offer.each, &agent.budget)
                    && each > budget.value
                {
                    let (cost, limit) = (format_micro_usd(each), format_micro_usd(budget.value));
                    return Some(("budget-agent", format!("it may cost ${cost}, and its own budget is ${limit}")));
                }
            }
        }
        let declared =
            |name: &&str| self.tenant.is_some_and(|(_, decl)| decl.secrets.iter().any(|s| s.name.value == **name));
        if let Some(missing) = needs.iter().find(|name| !declared(name)) {
            let who = self.tenant_words();
            let verb = if self.tenant.is_some() { "declares no such secret" } else { "there are no secrets" };
            return Some(("secret", format!("it needs secret `{missing}`, and {who} {verb}")));
        }
        let Some(each) = offer.each else {
            let help = match offer.server {
                Server::Tool(_) => BY_THE_MINUTE,
                Server::Agent(..) => "its tokens cost, and nothing limits them: give it `limits tokens=`",
            };
            return Some(("unbounded", help.to_owned()));
        };
        let cost = each.saturating_add(offer.once);
        if let Some(max) = offer.max.as_ref().filter(|max| cost > max.value) {
            let why = format!(
                "it may cost ${} ({}), and the map allows ${}",
                format_micro_usd(cost),
                offer.price,
                format_micro_usd(max.value)
            );
            return Some(("max-usd", why));
        }
        let _ = ask;
        None
    }

    /// Nobody may serve these, for one reason.
    fn nobody(&self, asks: &[&Asking], diagnostics: &mut Diagnostics) {
        let Some((ask, others)) = asks.split_first() else { return };
        let (_, refused) = self.filter(ask);
        let (what, span) = match ask.sought {
            Sought::Tool(id) => {
                let decl = self.program.tool(id);
                (format!("nobody knows what tool `{}` may cost here", decl.name.value), Some(decl.name.span))
            }
            Sought::Asked(Asked::Capability(id)) => {
                let decl = self.program.capability(id);
                (format!("no route provides capability `{}`", decl.name.value), Some(decl.name.span))
            }
            Sought::Asked(Asked::Agent(id, _)) => {
                let decl = self.program.agent(id);
                (format!("agent `{}` cannot do what it is asked", decl.name.value), Some(decl.name.span))
            }
        };
        let mut diagnostic = Diagnostic::new(Code::P0601, ask.at, what);
        if let Some(span) = span {
            diagnostic = diagnostic.with_secondary(span, "declared here");
        }
        for item in refused.iter().take(SHOWN) {
            diagnostic = diagnostic.with_help(format!("`{}`: {}", item.candidate, item.why));
        }
        if refused.len() > SHOWN {
            diagnostic = diagnostic.with_help(format!("and {} more", refused.len() - SHOWN));
        }
        // Instances of one node ask at one place.
        let others: BTreeSet<Span> = others.iter().map(|other| other.at).filter(|at| *at != ask.at).collect();
        for at in others.iter().take(SHOWN) {
            diagnostic = diagnostic.with_secondary(*at, "asked for here as well");
        }
        if others.len() > SHOWN {
            diagnostic = diagnostic.with_help(format!("asked for at {} more places", others.len() - SHOWN));
        }
        diagnostics.push(diagnostic);
    }

    /// Budgets that asks share.
    fn budgets(&self, graph: DeclId, asks: &[Asking]) -> Vec<Budget> {
        let program = self.program;
        let mut budgets = Vec::new();
        let decl = program.graph(graph);
        if let Some(money) = &decl.budget {
            let of = format!("graph `{}`", decl.group.name.value);
            budgets.push(Budget {
                of,
                limit: money.value,
                span: money.span,
                code: "budget-graph",
                whose: Whose::Everybody,
            });
        }
        if let Some((_, tenant)) = self.tenant
            && let Some(budget) = &tenant.budget
        {
            let of = format!("tenant `{}`", tenant.name.value);
            let (limit, span) = (budget.usd.value, budget.usd.span);
            budgets.push(Budget { of, limit, span, code: "budget-tenant", whose: Whose::Everybody });
        }
        let mut agents: BTreeSet<DeclId> = asks.iter().filter_map(|ask| ask.agent).collect();
        for ask in asks {
            match ask.sought {
                Sought::Tool(_) => {}
                Sought::Asked(Asked::Agent(id, _)) => drop(agents.insert(id)),
                Sought::Asked(Asked::Capability(id)) => {
                    let offers = self.candidates(id, ask);
                    agents.extend(offers.iter().filter_map(|offer| match offer.server {
                        Server::Agent(id, _) => Some(id),
                        Server::Tool(_) => None,
                    }));
                }
            }
        }
        for id in agents {
            let agent = program.agent(id);
            if let Some(money) = &agent.budget {
                let of = format!("agent `{}`", agent.name.value);
                let (limit, span) = (money.value, money.span);
                budgets.push(Budget { of, limit, span, code: "budget-agent", whose: Whose::Agent(id) });
            }
        }
        budgets
    }
}

fn times(what: &str, attempts: u64) -> String {
    if attempts > 1 { format!("{what} × {attempts} attempts") } else { what.to_owned() }
}

fn tier(given: Option<&crate::lang::ast::Name>) -> String {
    given.map_or_else(|| "primary".to_owned(), |name| name.value.clone())
}

/// The model that an agent has for work of a complexity: the one of the nearest limit above.
fn model(agent: &AgentDecl, complexity: Option<u8>) -> Option<String> {
    let complexity = complexity?;
    let fitting = agent.models.iter().filter(|(_, most)| complexity <= *most);
    fitting.min_by_key(|(_, most)| *most).map(|(name, _)| name.value.clone())
}

/// What is spent of each budget by the present choice.
struct Spending<'a> {
    budgets: &'a [Budget],
    asks: &'a [Asking],
    each: Vec<u128>,
    /// How many asks use each tool that costs once in a run, by budget.
    users: Vec<BTreeMap<Server, (u64, u64)>>,
}

impl<'a> Spending<'a> {
    fn new(budgets: &'a [Budget], asks: &'a [Asking], fitting: &[Vec<Offer>], picked: &[usize]) -> Self {
        let mut spending =
            Self { budgets, asks, each: vec![0; budgets.len()], users: vec![BTreeMap::new(); budgets.len()] };
        for (at, (offers, index)) in fitting.iter().zip(picked).enumerate() {
            spending.add(at, &offers[*index]);
        }
        spending
    }

    fn counts(&self, budget: usize, at: usize, offer: &Offer) -> bool {
        counts(&self.budgets[budget], &self.asks[at], offer)
    }

    fn add(&mut self, at: usize, offer: &Offer) {
        for budget in 0..self.budgets.len() {
            if self.counts(budget, at, offer) {
                self.each[budget] += u128::from(offer.each.unwrap_or(0));
                if offer.once > 0 {
                    self.users[budget].entry(offer.server).or_insert((0, offer.once)).0 += 1;
                }
            }
        }
    }

    fn replace(&mut self, at: usize, old: &Offer, new: &Offer) {
        for budget in 0..self.budgets.len() {
            if self.counts(budget, at, old) {
                self.each[budget] -= u128::from(old.each.unwrap_or(0));
                if let Some(entry) = self.users[budget].get_mut(&old.server) {
                    entry.0 -= 1;
                    if entry.0 == 0 {
                        self.users[budget].remove(&old.server);
                    }
                }
            }
        }
        self.add(at, new);
    }

    fn total(&self, budget: usize) -> u64 {
        let once: u128 = self.users[budget].values().map(|(_, once)| u128::from(*once)).sum();
        u64::try_from(self.each[budget] + once).unwrap_or(u64::MAX)
    }
}

/// Whether a use counts to a budget: an agent pays for what it asks and for what it does.
fn counts(budget: &Budget, ask: &Asking, offer: &Offer) -> bool {
    match budget.whose {
        Whose::Everybody => true,
        Whose::Agent(agent) => ask.agent == Some(agent) || matches!(offer.server, Server::Agent(id, _) if id == agent),
    }
}

/// Even the cheapest choice is over a budget.
fn over(
    budget: &Budget,
    total: u64,
    _index: usize,
    asks: &[Asking],
    fitting: &[Vec<Offer>],
    picked: &[usize],
    diagnostics: &mut Diagnostics,
) {
    let mut rows: Vec<(u64, &Asking, &Offer)> = asks
        .iter()
        .zip(fitting)
        .zip(picked)
        .map(|((ask, offers), index)| (ask, &offers[*index]))
        .filter(|(ask, offer)| counts(budget, ask, offer))
        .map(|(ask, offer)| (offer.each.unwrap_or(0).saturating_add(offer.once), ask, offer))
        .collect();
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.addr.cmp(&b.1.addr)));
    let Some((_, dearest, _)) = rows.first() else { return };
    let mut diagnostic = Diagnostic::new(
        Code::P0603,
        dearest.at,
        format!(
            "the cheapest route costs ${}, and the budget of {} is ${}",
            format_micro_usd(total),
            budget.of,
            format_micro_usd(budget.limit)
        ),
    )
    .with_label("the dearest part")
    .with_secondary(budget.span, "the budget");
    for (cost, ask, offer) in rows.iter().take(SHOWN) {
        let cost = format_micro_usd(*cost);
        diagnostic = diagnostic.with_help(format!("`{}`: ${cost} by `{}` ({})", ask.addr, offer.name, offer.price));
    }
    if rows.len() > SHOWN {
        diagnostic = diagnostic.with_help(format!("and {} more", rows.len() - SHOWN));
    }
    diagnostics.push(diagnostic.with_help("raise the budget, lower `retry` or `limits`, or add a cheaper candidate"));
}

/// The tool that a declaration of a tool stands for.
pub(crate) fn net(tool: &ToolDecl) -> bool {
    tool.offer.effects.iter().any(|effect| effect.value == "net")
}
