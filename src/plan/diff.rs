//! The difference of two plans, as data: root causes, moves, additions, removals, what follows from
//! them, and which of it widens what the plan is allowed to do. Pure. Its size is that of the causes,
//! never that of the graph: a change that many actions share is one cause, and an action that only
//! gets another key is counted, not listed. Leaves out how it is shown: see `diff_text`, `diff_json`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Digest;
use crate::plan::diff_fields::{Context, Wire, action_changes, graph_changes, service_changes, tool_changes};
use crate::plan::diff_privilege::{
    Entry, of_added, of_change, of_graph, of_new_service, of_new_tools, of_service, of_tool,
};
use crate::plan::key::{def_digest, service_defs};
use crate::plan::{ActionId, Class, Outlook, Plan, Policies, Privilege, Tool};

/// A place in a spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path as people know it.
    pub file: String,
    /// From 1.
    pub line: u32,
}

/// Where the actions and tools of a plan were declared. Empty for a plan that was read from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of actions, in the order of the plan.
    pub actions: Vec<Place>,
    /// Which declaration actions are of, in the order of the plan: the same text for the same node or step.
    pub declarations: Vec<String>,
    /// Of tools, by their names in the plan.
    pub tools: BTreeMap<String, Place>,
    /// Of services, by their names.
    pub services: BTreeMap<String, Place>,
    /// Of the graph.
    pub graph: Option<Place>,
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where its parts were declared.
    pub places: &'a Places,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The field, as `args[2..4]`, `env.CC`, `inputs.src/a.c`.
    pub field: String,
    /// What it was; `None` if it was not there.
    pub before: Option<String>,
    /// What it is; `None` if it is gone.
    pub after: Option<String>,
    /// Whether it enters keys. What does not re-runs nothing.
    pub keyed: bool,
}

/// What a root cause is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The graph: its pools, its concurrency.
    Graph,
    /// The declaration of a tool.
    Tool,
    /// The declaration of a service.
    Service,
    /// The definition of actions.
    Action,
}

/// A root cause: something that was changed itself, not through something it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What it is about.
    pub subject: Subject,
    /// Addresses (as they are now) or the one name, in order. More than one where the same change
    /// was made at all of them.
    pub members: Vec<String>,
    /// The fields that differ, in a fixed order.
    pub changes: Vec<Change>,
    /// Whether members differ in the same fields of the same declaration, yet not from and to the
    /// same values; `changes` are then those of the first.
    pub varied: bool,
    /// Where it was declared.
    pub before: Option<Place>,
    /// Where it is declared.
    pub after: Option<Place>,
}

/// Actions of one declaration that are new, gone, or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Addresses in order; at least one.
    pub members: Vec<String>,
    /// For moved ones: the addresses they had, in the same order.
    pub was: Vec<String>,
    /// Where they are declared, or were.
    pub place: Option<Place>,
}

/// A root cause or an addition that widens what the plan may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileged {
    /// In which ways, with what exactly; at least one.
    pub ways: Vec<(Privilege, String)>,
    /// What the members are.
    pub subject: Subject,
    /// Addresses or the one name.
    pub members: Vec<String>,
    /// Where it was declared.
    pub before: Option<Place>,
    /// Where it is declared.
    pub after: Option<Place>,
}

/// What will run because of the changes, as far as plans can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// Actions whose own definition changed, by themselves or by a tool, or that are new.
    pub redefined: usize,
    /// Actions that run each time.
    pub volatile: usize,
    /// All actions, now.
    pub total: usize,
}

/// The difference of two plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanDiff {
    /// The graph, as it is called now.
    pub graph: String,
    /// The plan's digest before; `None` if there was no such graph.
    pub before: Option<Digest>,
    /// The plan's digest now; `None` if there is no such graph.
    pub after: Option<Digest>,
    /// What widens what the plan may do.
    pub privileged: Vec<Privileged>,
    /// Root causes: graph, tools, actions.
    pub roots: Vec<Root>,
    /// The same actions under other addresses.
    pub moved: Vec<Group>,
    /// New actions.
    pub added: Vec<Group>,
    /// Actions that are gone.
    pub removed: Vec<Group>,
    /// Addresses of actions that only depend on changed ones, in order: they get another static key,
    /// and run unless what they take in comes out equal.
    pub rekeyed: Vec<String>,
    /// Addresses of actions whose own definition changed or that are new, in order.
    pub redefined: Vec<String>,
    /// What follows, in numbers.
    pub propagation: Propagation,
    /// The most a run may cost by routes and prices, before and now, in micro-dollars.
    pub cost: (u64, u64),
    /// What running it will bring about, where that was found out.
    pub outlook: Option<Outlook>,
}

impl PlanDiff {
    /// Whether the plans do the same in the same way. Moves alone are a difference.
    pub fn is_empty(&self) -> bool {
        self.before.is_some() == self.after.is_some()
            && self.roots.is_empty()
            && self.moved.is_empty()
            && self.added.is_empty()
            && self.removed.is_empty()
    }

    /// How many causes there are: what a reviewer has to look at.
    pub fn causes(&self) -> usize {
        self.roots.len() + self.moved.len() + self.added.len() + self.removed.len()
    }
}

/// The difference of two states of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// What the one side is called: a revision, a file, the working tree.
    pub before: String,
    /// What the other side is called.
    pub after: String,
    /// The graphs that were compared, by name; those that do not differ as well.
    pub graphs: Vec<PlanDiff>,
    /// Graphs that could not be compared, with why.
    pub skipped: Vec<(String, String)>,
    /// Spec files whose bytes differ and that change nothing.
    pub cosmetic: Vec<String>,
    /// Files of the workspace whose bytes differ and that actions take in, with how many do.
    pub inputs: Vec<(String, usize)>,
    /// Why nothing is said of what running it will bring about, where that was to be found out.
    pub unforeseen: Option<String>,
    /// Where the workspace lies below the top of its repository, with a `/` at the end unless it is
    /// the top: services that show findings want paths from there.
    pub prefix: String,
}

impl Review {
    /// Whether no graph differs.
    pub fn is_empty(&self) -> bool {
        self.graphs.iter().all(PlanDiff::is_empty)
    }

    /// How many changes are privileged.
    pub fn privileged(&self) -> usize {
        self.graphs.iter().map(|graph| graph.privileged.len()).sum()
    }

    /// How many causes there are.
    pub fn causes(&self) -> usize {
        self.graphs.iter().map(PlanDiff::causes).sum()
    }
}

/// Compares two plans. A side that has no such graph is `None`.
pub fn diff(before: Option<Side<'_>>, after: Option<Side<'_>>) -> PlanDiff {
    let nothing = Plan {
        schemas: BTreeMap::new(),
        terms: crate::plan::Terms::default(),
        graph: String::new(),
        actions: Vec::new(),
        tools: Vec::new(),
        pools: BTreeMap::new(),
        concurrency: None,
        services: Vec::new(),
        policies: Policies::default(),
        digest: Digest::from_bytes([0; 32]),
    };
    let nowhere = Places::default();
    let old = before.unwrap_or(Side { plan: &nothing, places: &nowhere });
    let new = after.unwrap_or(Side { plan: &nothing, places: &nowhere });
    let named = if after.is_some() { new.plan } else { old.plan };
    let mut found = Finder::new(old, new).find(before.is_some() && after.is_some());
    found.graph.clone_from(&named.graph);
    found.before = before.map(|side| side.plan.digest);
    found.after = after.map(|side| side.plan.digest);
    found
}

struct Finder<'a> {
    old: Side<'a>,
    new: Side<'a>,
    old_tools: BTreeMap<&'a str, &'a Tool>,
    new_tools: BTreeMap<&'a str, &'a Tool>,
    tools_differ: bool,
}

/// What causes of one declaration have in common: its places, the fields, and what is privileged.
type Likeness<'a> = (&'a Place, &'a Place, Vec<&'static str>, Vec<Privilege>);

/// A cause while it is gathered: the fields, where, and whether values vary.
type Cause = (Vec<Change>, Vec<Pair>, bool);

/// An action on both sides.
#[derive(Clone, Copy)]
struct Pair {
    old: ActionId,
    new: ActionId,
}

impl<'a> Finder<'a> {
    fn new(old: Side<'a>, new: Side<'a>) -> Self {
        let by_name = |plan: &'a Plan| plan.tools.iter().map(|tool| (tool.name.as_str(), tool)).collect();
        let tools_differ = old.plan.tools != new.plan.tools;
        Self { old, new, old_tools: by_name(old.plan), new_tools: by_name(new.plan), tools_differ }
    }

    fn find(&self, both: bool) -> PlanDiff {
        let (old, new) = (self.old.plan, self.new.plan);
        let (mut pairs, gone, fresh) = self.align();
        let moved = self.moves(&gone, &fresh);
        let left: BTreeSet<ActionId> = moved.iter().map(|pair| pair.old).collect();
        let came: BTreeSet<ActionId> = moved.iter().map(|pair| pair.new).collect();
        let gone: Vec<ActionId> = gone.into_iter().filter(|id| !left.contains(id)).collect();
        let fresh: Vec<ActionId> = fresh.into_iter().filter(|id| !came.contains(id)).collect();
        pairs.extend(&moved);

        let mut privileged = Vec::new();
        let mut roots = Vec::new();
        if both {
            self.graph_root(&mut roots, &mut privileged);
        }
        self.tool_roots(&mut roots, &mut privileged);
        self.service_roots(&mut roots, &mut privileged);
        let changed = self.action_roots(&pairs, &mut roots, &mut privileged);
        let added = groups(&fresh, &[], new, self.new.places, old);
        self.added_privileges(&fresh, &added, &mut privileged);
        let from: Vec<ActionId> = moved.iter().map(|pair| pair.old).collect();
        let to: Vec<ActionId> = moved.iter().map(|pair| pair.new).collect();
        privileged.sort_by_key(|item| item.ways.first().map(|(way, _)| *way));
        PlanDiff {
            graph: String::new(),
            before: None,
            after: None,
            privileged,
            roots,
            moved: groups(&to, &from, new, self.new.places, old),
            added,
            removed: groups(&gone, &[], old, self.old.places, new),
            rekeyed: self.rekeyed(&pairs, &changed),
            outlook: None,
            cost: (old.terms.at_most, new.terms.at_most),
            redefined: self.addresses(changed.iter().chain(&fresh)),
            propagation: Propagation {
                redefined: changed.len() + fresh.len(),
                volatile: new.actions.iter().filter(|action| action.spec.class == Class::Volatile).count(),
                total: new.actions.len(),
            },
        }
    }

    /// Actions at the same address; those only before; those only now.
    fn align(&self) -> (Vec<Pair>, Vec<ActionId>, Vec<ActionId>) {
        let (mut pairs, mut gone, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        let mut olds = self.old.plan.iter().peekable();
        let mut news = self.new.plan.iter().peekable();
        // The graph's own name, with which every address begins, may differ.
        let skip = |plan: &Plan| plan.graph.len();
        let key = |addr: &'a str, skip: usize| addr.get(skip..).unwrap_or(addr);
        let (old_skip, new_skip) = (skip(self.old.plan), skip(self.new.plan));
        loop {
            match (olds.peek(), news.peek()) {
                (None, None) => break,
                (Some((id, _)), None) => {
                    gone.push(*id);
                    olds.next();
                }
                (None, Some((id, _))) => {
                    fresh.push(*id);
                    news.next();
                }
                (Some((old, a)), Some((new, b))) => match key(&a.addr, old_skip).cmp(key(&b.addr, new_skip)) {
                    std::cmp::Ordering::Equal => {
                        pairs.push(Pair { old: *old, new: *new });
                        olds.next();
                        news.next();
                    }
                    std::cmp::Ordering::Less => {
                        gone.push(*old);
                        olds.next();
                    }
                    std::cmp::Ordering::Greater => {
                        fresh.push(*new);
                        news.next();
                    }
                },
            }
        }
        (pairs, gone, fresh)
    }

    /// What an action's definition would be with the tools as they are declared now, so that a
    /// changed tool does not hide a move.
    fn neutral(&self, id: ActionId) -> Digest {
        let action = self.old.plan.action(id);
        if !self.tools_differ && self.old.plan.services == self.new.plan.services {
            return action.def;
        }
        let mut tools = self.old_tools.clone();
        tools.extend(&self.new_tools);
        let mut services = service_defs(&self.old.plan.services);
        services.extend(service_defs(&self.new.plan.services));
        def_digest(&action.spec, &tools, &services)
    }

    /// Pairs what is gone with what is new where the definition is the same: by equal static keys
    /// first, then by equal ends of the address, then in order.
    fn moves(&self, gone: &[ActionId], fresh: &[ActionId]) -> Vec<Pair> {
        let mut by_def: BTreeMap<Digest, (Vec<ActionId>, Vec<ActionId>)> = BTreeMap::new();
        for id in fresh {
            by_def.entry(self.new.plan.action(*id).def).or_default().1.push(*id);
        }
        for id in gone {
            if let Some((olds, _)) = by_def.get_mut(&self.neutral(*id)) {
                olds.push(*id);
            }
        }
        let mut pairs = Vec::new();
        for (mut olds, mut news) in by_def.into_values() {
            let skey = |side: &Side<'_>, id: ActionId| side.plan.action(id).skey.to_string();
            let tail = |side: &Side<'_>, id: ActionId| last(&side.plan.action(id).addr).to_owned();
            let both = |side: &Side<'_>, id: ActionId| format!("{} {}", skey(side, id), tail(side, id));
            self.take_equal(&mut olds, &mut news, &both, &mut pairs);
            self.take_equal(&mut olds, &mut news, &skey, &mut pairs);
            self.take_equal(&mut olds, &mut news, &tail, &mut pairs);
            pairs.extend(olds.iter().zip(&news).map(|(old, new)| Pair { old: *old, new: *new }));
        }
        pairs.sort_by_key(|pair| pair.new);
        pairs
    }

    fn take_equal(
        &self,
        olds: &mut Vec<ActionId>,
        news: &mut Vec<ActionId>,
        key: &dyn Fn(&Side<'_>, ActionId) -> String,
        pairs: &mut Vec<Pair>,
    ) {
        if olds.is_empty() || news.is_empty() {
            return;
        }
        let mut waiting: BTreeMap<String, Vec<ActionId>> = BTreeMap::new();
        for id in news.iter().rev() {
            waiting.entry(key(&self.new, *id)).or_default().push(*id);
        }
        let mut taken = BTreeSet::new();
        olds.retain(|old| {
            let Some(new) = waiting.get_mut(&key(&self.old, *old)).and_then(Vec::pop) else { return true };
            taken.insert(new);
            pairs.push(Pair { old: *old, new });
            false
        });
        news.retain(|new| !taken.contains(new));
    }

    fn graph_root(&self, roots: &mut Vec<Root>, privileged: &mut Vec<Privileged>) {
        let changes = graph_changes(self.old.plan, self.new.plan);
        let ways = of_graph(&self.old.plan.terms, &self.new.plan.terms, &changes);
        if !ways.is_empty() {
            privileged.push(Privileged {
                ways,
                subject: Subject::Graph,
                members: vec![self.new.plan.graph.clone()],
                before: self.old.places.graph.clone(),
                after: self.new.places.graph.clone(),
            });
        }
        if !changes.is_empty() {
            roots.push(Root {
                subject: Subject::Graph,
                members: vec![self.new.plan.graph.clone()],
                changes,
                varied: false,
                before: self.old.places.graph.clone(),
                after: self.new.places.graph.clone(),
            });
        }
    }

    fn tool_roots(&self, roots: &mut Vec<Root>, privileged: &mut Vec<Privileged>) {
        // A tool that is new or gone is so because of an action, which is the cause.
        let fresh: Vec<&Tool> =
            self.new.plan.tools.iter().filter(|tool| !self.old_tools.contains_key(tool.name.as_str())).collect();
        if let Some(first) = fresh.first() {
            privileged.push(Privileged {
                ways: of_new_tools(&fresh),
                subject: Subject::Tool,
                members: fresh.iter().map(|tool| tool.name.clone()).collect(),
                before: None,
                after: self.new.places.tools.get(&first.name).cloned(),
            });
        }
        for (name, new) in &self.new_tools {
            let Some(old) = self.old_tools.get(name) else { continue };
            let (before, after) =
                (self.old.places.tools.get(*name).cloned(), self.new.places.tools.get(*name).cloned());
            let changes = tool_changes(old, new);
            if changes.is_empty() {
                continue;
            }
            let members = vec![(*name).to_owned()];
            let ways = of_tool(&changes);
            if !ways.is_empty() {
                let (before, after, members) = (before.clone(), after.clone(), members.clone());
                privileged.push(Privileged { ways, subject: Subject::Tool, members, before, after });
            }
            roots.push(Root { subject: Subject::Tool, members, changes, varied: false, before, after });
        }
    }

    fn service_roots(&self, roots: &mut Vec<Root>, privileged: &mut Vec<Privileged>) {
        let now_at = BTreeMap::new();
        let context = Context {
            old: self.old.plan,
            new: self.new.plan,
            old_tools: &self.old_tools,
            new_tools: &self.new_tools,
            now_at: &now_at,
        };
        for new in &self.new.plan.services {
            let after = self.new.places.services.get(&new.name).cloned();
            let members = vec![new.name.clone()];
            let Some(old) = self.old.plan.service(&new.name) else {
                // One that is new is so because of an action, which is the cause.
                let ways = of_new_service(new);
                privileged.push(Privileged { ways, subject: Subject::Service, members, before: None, after });
                continue;
            };
            let changes = service_changes(&context, old, new);
            if changes.is_empty() {
                continue;
            }
            let before = self.old.places.services.get(&new.name).cloned();
            let ways = of_service(&changes);
            if !ways.is_empty() {
                let (before, after, members) = (before.clone(), after.clone(), members.clone());
                privileged.push(Privileged { ways, subject: Subject::Service, members, before, after });
            }
            roots.push(Root { subject: Subject::Service, members, changes, varied: false, before, after });
        }
    }

    /// Finds what changed of actions themselves; returns the pairs that a key of their own field
    /// or of a tool's has changed for.
    fn action_roots(
        &self,
        pairs: &[Pair],
        roots: &mut Vec<Root>,
        privileged: &mut Vec<Privileged>,
    ) -> BTreeSet<ActionId> {
        let now_at: BTreeMap<&str, &str> = pairs
            .iter()
            .map(|pair| (self.old.plan.action(pair.old).addr.as_str(), self.new.plan.action(pair.new).addr.as_str()))
            .filter(|(old, new)| old != new)
            .collect();
        let context = Context {
            old: self.old.plan,
            new: self.new.plan,
            old_tools: &self.old_tools,
            new_tools: &self.new_tools,
            now_at: &now_at,
        };
        let mut redefined = BTreeSet::new();
        let mut found: BTreeMap<Vec<Change>, Vec<Pair>> = BTreeMap::new();
        for pair in pairs {
            let (old, new) = (self.old.plan.action(pair.old), self.new.plan.action(pair.new));
            // Where nothing above changed either, only what is not keyed can differ.
            let wire = if old.skey == new.skey { Wire::Same } else { Wire::Compare };
            let changes = action_changes(&context, old, new, old.def != new.def, wire);
            if old.def != new.def || changes.iter().any(|change| change.keyed) {
                redefined.insert(pair.new);
            }
            if !changes.is_empty() {
                found.entry(changes).or_default().push(*pair);
            }
        }
        let mut causes: Vec<Cause> = found.into_iter().map(|(changes, pairs)| (changes, pairs, false)).collect();
        causes.sort_by_key(|(_, pairs, _)| pairs[0].new);
        for (changes, mut pairs, varied) in self.merge_varied(causes) {
            pairs.sort_by_key(|pair| pair.new);
            let before = self.old.places.actions.get(pairs[0].old.index()).cloned();
            let after = self.new.places.actions.get(pairs[0].new.index()).cloned();
            let members: Vec<String> = pairs.iter().map(|pair| self.new.plan.action(pair.new).addr.clone()).collect();
            let first = Entry {
                old: self.old.plan.action(pairs[0].old),
                new: self.new.plan.action(pairs[0].new),
                old_tools: &self.old_tools,
                new_tools: &self.new_tools,
                new_plan: self.new.plan,
                old_plan: self.old.plan,
            };
            let ways = of_change(&first, &changes);
            if !ways.is_empty() {
                let (before, after, members) = (before.clone(), after.clone(), members.clone());
                privileged.push(Privileged { ways, subject: Subject::Action, members, before, after });
            }
            roots.push(Root { subject: Subject::Action, members, changes, varied, before, after });
        }
        redefined
    }

    /// Makes one cause of those that come from one declaration and are about the same fields.
    fn merge_varied(&self, causes: Vec<Cause>) -> Vec<Cause> {
        let mut merged: Vec<Cause> = Vec::new();
        let mut known: BTreeMap<Likeness<'_>, usize> = BTreeMap::new();
        for (changes, pairs, _) in causes {
            let places = self.old.places.actions.get(pairs[0].old.index());
            let places = places.zip(self.new.places.actions.get(pairs[0].new.index()));
            let Some((before, after)) = places else {
                merged.push((changes, pairs, false));
                continue;
            };
            // What is privileged must be so for all members, as only the first is looked at.
            let first = Entry {
                old: self.old.plan.action(pairs[0].old),
                new: self.new.plan.action(pairs[0].new),
                old_tools: &self.old_tools,
                new_tools: &self.new_tools,
                new_plan: self.new.plan,
                old_plan: self.old.plan,
            };
            let ways: Vec<Privilege> = of_change(&first, &changes).into_iter().map(|(way, _)| way).collect();
            let fields: Vec<&'static str> = changes.iter().map(|change| field_of(&change.field)).collect();
            let at = *known.entry((before, after, fields, ways)).or_insert(merged.len());
            if let Some((_, members, varied)) = merged.get_mut(at) {
                members.extend(pairs);
                *varied = true;
            } else {
                merged.push((changes, pairs, false));
            }
        }
        merged
    }

    fn added_privileges(&self, fresh: &[ActionId], added: &[Group], privileged: &mut Vec<Privileged>) {
        let by_addr: BTreeMap<&str, ActionId> =
            fresh.iter().map(|id| (self.new.plan.action(*id).addr.as_str(), *id)).collect();
        for group in added {
            let mut ways: Vec<(Privilege, String)> = Vec::new();
            let mut members = Vec::new();
            for addr in &group.members {
                let Some(id) = by_addr.get(addr.as_str()) else { continue };
                let more = of_added(self.new.plan.action(*id), &self.new_tools);
                if !more.is_empty() {
                    members.push(addr.clone());
                    for way in more {
                        if !ways.iter().any(|(known, _)| *known == way.0) {
                            ways.push(way);
                        }
                    }
                }
            }
            if !ways.is_empty() {
                let after = group.place.clone();
                privileged.push(Privileged { ways, subject: Subject::Action, members, before: None, after });
            }
        }
    }

    fn rekeyed(&self, pairs: &[Pair], redefined: &BTreeSet<ActionId>) -> Vec<String> {
        let follows = |pair: &&Pair| {
            let (old, new) = (self.old.plan.action(pair.old), self.new.plan.action(pair.new));
            old.skey != new.skey && !redefined.contains(&pair.new)
        };
        self.addresses(pairs.iter().filter(follows).map(|pair| &pair.new))
    }

    /// Addresses of actions as they are now, in order.
    fn addresses<'b>(&self, ids: impl Iterator<Item = &'b ActionId>) -> Vec<String> {
        let mut ids: Vec<ActionId> = ids.copied().collect();
        ids.sort_unstable();
        ids.into_iter().map(|id| self.new.plan.action(id).addr.clone()).collect()
    }
}

/// The name of a field without what it is of: `args` of `args[2..4]`.
fn field_of(field: &str) -> &'static str {
    const FIELDS: &[&str] = &[
        "kind",
        "class",
        "isolation",
        "tool",
        "args",
        "cwd",
        "env",
        "inputs",
        "outputs",
        "schemas",
        "tools",
        "services",
        "take",
        "idempotent",
        "rollback",
        "from",
        "text",
        "template",
        "vars",
        "prompt",
        "facts",
        "secrets",
        "route",
        "merge",
        "subjects",
        "require",
        "approval",
        "automation",
        "gate",
        "after",
        "timeout",
        "node_timeout",
        "retry",
        "holds",
    ];
    let name = field.split(['.', '[']).next().unwrap_or(field);
    FIELDS.iter().find(|known| **known == name).copied().unwrap_or("other")
}

fn last(addr: &str) -> &str {
    addr.rsplit_once('/').map_or(addr, |(_, last)| last)
}

/// Gathers actions of one declaration; where that is not known, those that lie beside each other.
fn groups(ids: &[ActionId], was: &[ActionId], plan: &Plan, places: &Places, other: &Plan) -> Vec<Group> {
    const BESIDE: usize = 3;
    let mut beside: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        *beside.entry(parent(&plan.action(*id).addr)).or_default() += 1;
    }
    let mut order: Vec<Group> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (index, id) in ids.iter().enumerate() {
        let addr = &plan.action(*id).addr;
        let before = was.get(index).map(|id| other.action(*id).addr.clone());
        let place = places.actions.get(id.index());
        let key = match (place, &before) {
            // What moved together has the same part of its address replaced.
            (_, Some(before)) => replaced(before, addr),
            (Some(place), None) => format!("{}:{}", place.file, place.line),
            (None, None) if beside[parent(addr)] > BESIDE => format!("{}/*", parent(addr)),
            (None, None) => addr.clone(),
        };
        let at = *known.entry(key).or_insert_with(|| {
            order.push(Group { members: Vec::new(), was: Vec::new(), place: place.cloned() });
            order.len() - 1
        });
        order[at].members.push(addr.clone());
        order[at].was.extend(before);
    }
    order
}

fn parent(addr: &str) -> &str {
    addr.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The part that differs of two addresses, with what stands before it.
fn replaced(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split('/').collect(), after.split('/').collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle = |parts: &[&str]| parts[head..parts.len() - tail].join("/");
    format!("{}|{}|{}", old[..head].join("/"), middle(&old), middle(&new))
}
