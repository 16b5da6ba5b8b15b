//! Approvals: what a plan asks people for, their consent on record, and giving it. A consent is bound
//! to the plan's digest, so it lapses with every change of the plan. Leaves out the form of the
//! signed statement.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Clock, Digest, Environment};
use crate::bundle::{APPROVAL_BYTES, Consented, read_approval, sign_approval};
use crate::exec::{Approver, Standing};
use crate::ops::Error;
use crate::ops::check::plan;
use crate::ops::diff::read_plan;
use crate::ops::keys::{DEFAULT_KEY, key_dir, open_signer, public_key, public_keys};
use crate::ops::revision::Repository;
use crate::ops::run::write_atomically;
use crate::ops::workspace::{Workspace, make_state};
use crate::plan::{ActionKind, Approval, Consent, Plan};

/// How far ahead of this machine's clock another's may be.
const SKEW_MS: u64 = 300_000;
/// Plans of earlier approvals that are looked at, to say that one of them has lapsed.
const EARLIER: usize = 200;

/// Consent to give.
#[derive(Clone, Debug, Default)]
pub struct ApproveRequest {
    /// A graph, or a plan file.
    pub target: String,
    /// Parameters of the graph.
    pub params: BTreeMap<String, String>,
    /// The key that signs; else the one that fits.
    pub key: Option<String>,
    /// The addresses that are named; none: all of the plan that need not be named.
    pub gates: Vec<String>,
    /// Who approves; else the name that goes with the key.
    pub person: Option<String>,
}

/// What became of one approval that a plan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Its address.
    pub addr: String,
    /// What it asks for.
    pub asked: String,
    /// Whether this consent counts for it.
    pub counts: bool,
    /// What is still missing of it, or why this consent does not count.
    pub open: Option<String>,
}

/// A consent that was given.
#[derive(Clone, Debug)]
pub struct ApproveReply {
    /// The plan's digest.
    pub plan: Digest,
    /// The graph.
    pub graph: String,
    /// Who gave it.
    pub person: String,
    /// The key.
    pub key: String,
    /// The id of the key.
    pub keyid: String,
    /// Whether the key was made for this.
    pub key_is_new: bool,
    /// Where it is kept.
    pub file: PathBuf,
    /// The approvals the plan asks for.
    pub approvals: Vec<Approved>,
}

/// Where approvals are kept.
fn approvals_dir(state: &Path) -> PathBuf {
    state.join("approvals")
}

/// What people have consented to, from the state directory of a workspace.
pub(super) struct OnRecord {
    dir: PathBuf,
    keys: PathBuf,
    /// Name and email of the author of the newest commit, if there is one.
    author: Option<(String, String)>,
    clock: Arc<dyn Clock>,
    /// How the plan is asked for again, for the command that gives what is missing.
    target: String,
}

impl OnRecord {
    pub(super) fn open(workspace: &Workspace, plan: &Plan, environment: &Environment, clock: &Arc<dyn Clock>) -> Self {
        let asks = plan.actions.iter().any(|action| matches!(action.spec.kind, ActionKind::Approval(_)));
        // Git is asked only where the answer matters.
        let repository = asks.then(|| Repository::around(&workspace.dir, environment).ok()).flatten();
        Self {
            dir: approvals_dir(&workspace.state),
            keys: key_dir(workspace),
            author: repository.and_then(|repository| repository.author()),
            clock: Arc::clone(clock),
            target: plan.graph.clone(),
        }
    }

    /// The consents to a plan that are whole and signed, with the ids of the keys.
    fn consents(&self, plan: Digest) -> Vec<(Consented, String)> {
        let mut all = Vec::new();
        for path in files(&self.dir.join(plan.hex())) {
            if let Some((consented, keyid)) = read(&path)
                && consented.plan == plan.hex()
            {
                all.push((consented, keyid));
            }
        }
        all
    }

    /// Whether consent to another plan of this graph is on record.
    fn has_lapsed(&self, graph: &str, plan: Digest) -> bool {
        let mut earlier = subfolders(&self.dir);
        earlier.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy() != plan.hex()));
        earlier.truncate(EARLIER);
        earlier.iter().flat_map(|dir| files(dir)).any(|path| read(&path).is_some_and(|(found, _)| found.graph == graph))
    }

    /// The person a key is of, if it may approve; or why it may not.
    fn person(&self, approval: &Approval, keyid: &str) -> Result<String, String> {
        let person = match &approval.members {
            Some(members) => {
                let member = members.iter().find(|member| member.key.as_deref() == Some(keyid));
                let member = member.ok_or_else(|| format!("its key is of no member of `{}`", approval.group))?;
                if approval.distinct && self.is_author(&member.name, member.email.as_deref()) {
                    return Err(format!("`{}` is the author of the change", member.name));
                }
                member.name.clone()
            }
            None => {
                let keys = public_keys(&self.keys).unwrap_or_default();
                let known = keys.into_iter().find(|(_, key)| key.keyid() == keyid);
                let (name, _) = known.ok_or("its key is not one of this workspace")?;
                if approval.distinct && self.is_author(&name, None) {
                    return Err(format!("`{name}` is the author of the change"));
                }
                name
            }
        };
        Ok(person)
    }

    fn is_author(&self, name: &str, email: Option<&str>) -> bool {
        self.author
            .as_ref()
            .is_some_and(|(author, address)| email.map_or(name == author || name == address, |email| email == address))
    }

    /// Who has given an approval, and why others do not count.
    fn given(&self, asked: &Consent<'_>) -> (BTreeSet<String>, Vec<String>) {
        let now = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        let mut people = BTreeSet::new();
        let mut refused = Vec::new();
        for (consented, keyid) in self.consents(asked.plan) {
            let named = consented.gates.iter().any(|gate| gate == asked.addr);
            if !named && (asked.approval.by_name || !consented.gates.is_empty()) {
                continue;
            }
            let too_old = asked.approval.expires_ms.is_some_and(|ms| consented.given_ms.saturating_add(ms) < now);
            let verdict = if too_old {
                Err("it is too old".to_owned())
            } else if consented.given_ms > now.saturating_add(SKEW_MS) {
                Err("it was given in the future".to_owned())
            } else {
                self.person(asked.approval, &keyid)
            };
            match verdict {
                Ok(person) => drop(people.insert(person)),
                Err(why) => refused.push(format!("that of `{}` does not count: {why}", consented.person)),
            }
        }
        refused.sort_unstable();
        refused.dedup();
        (people, refused)
    }
}

impl Approver for OnRecord {
    fn standing(&self, asked: &Consent<'_>) -> Standing {
        let (people, refused) = self.given(asked);
        if people.len() as u64 >= asked.approval.min {
            return Standing::Given { by: people.into_iter().collect() };
        }
        let mut text = format!("it waits for {}", asked.approval.shown());
        if people.is_empty() {
            if self.has_lapsed(&self.target, asked.plan) && refused.is_empty() {
                text.push_str(
                    "\nan approval is on record for another plan of this graph: it lapsed as the plan changed",
                );
            }
        } else {
            let names: Vec<&str> = people.iter().map(String::as_str).collect();
            text.push_str(&format!("\napproved so far by {}", names.join(", ")));
        }
        for line in refused {
            text.push_str(&format!("\n{line}"));
        }
        let by_name = if asked.approval.by_name { format!(" --gate {}", asked.addr) } else { String::new() };
        text.push_str(&format!("\napprove it: partita approve {}{by_name} --key NAME", self.target));
        Standing::Missing { text }
    }
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(dir).min_depth(1).max_depth(1).sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// A consent and the id of its key; `None`: it is none, or not rightly signed.
fn read(path: &Path) -> Option<(Consented, String)> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(APPROVAL_BYTES).read_to_end(&mut bytes).ok()?;
    let (consented, key) = read_approval(&bytes).ok()?;
    Some((consented, key.keyid().to_owned()))
}

/// Signs consent to a plan and keeps it.
pub fn approve(
    workspace: &mut Workspace,
    request: &ApproveRequest,
    environment: &Environment,
    clock: &Arc<dyn Clock>,
    current: &Path,
) -> Result<ApproveReply, Error> {
    let file = current.join(&request.target);
    let plan: Arc<Plan> = if file.is_file() {
        Arc::new(read_plan(&file)?)
    } else {
        plan(workspace, &request.target, &request.params)?.plan
    };
    let asked: Vec<(&str, &Approval)> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.spec.kind {
            ActionKind::Approval(approval) => Some((action.addr.as_str(), approval)),
            _ => None,
        })
        .collect();
    if asked.is_empty() {
        return Err(Error::usage(format!("the plan of `{}` asks for no approval", plan.graph)));
    }
    for gate in &request.gates {
        if !asked.iter().any(|(addr, _)| addr == gate) {
            let addrs: Vec<&str> = asked.iter().map(|(addr, _)| *addr).collect();
            return Err(Error::usage_help(
                format!("there is no approval at `{gate}`"),
                format!("the plan asks for: {}", addrs.join(", ")),
            ));
        }
    }
    let keys = key_dir(workspace);
    let name = key_name(&keys, request, &asked)?;
    let key = open_signer(&keys, &name, environment)?;
    let keyid = key.signer.keyid();
    let record = OnRecord::open(workspace, &plan, environment, clock);
    let named = |addr: &str| request.gates.iter().any(|gate| gate == addr);
    let mut persons = BTreeSet::new();
    let mut approvals = Vec::new();
    for (addr, approval) in &asked {
        let verdict = if approval.by_name && !named(addr) {
            Err(format!("it must be named: `--gate {addr}`"))
        } else if !request.gates.is_empty() && !named(addr) {
            Err("it is not among those named".to_owned())
        } else {
            record.person(approval, &keyid)
        };
        approvals.push(Approved {
            addr: (*addr).to_owned(),
            asked: approval.shown(),
            counts: verdict.is_ok(),
            open: verdict.as_ref().err().cloned(),
        });
        persons.extend(verdict);
    }
    if !approvals.iter().any(|approved| approved.counts) {
        let why: Vec<String> = approvals
            .iter()
            .map(|approved| format!("{}: {}", approved.addr, approved.open.as_deref().unwrap_or("it does not count")))
            .collect();
        return Err(Error::usage_help(
            format!("an approval by key `{name}` would count for nothing"),
            format!("{}; the plan names who may approve", why.join("; ")),
        ));
    }
    let person = match (&request.person, persons.first()) {
        (Some(given), _) => given.clone(),
        (None, Some(found)) => found.clone(),
        (None, None) => name.clone(),
    };
    let consented = Consented {
        graph: plan.graph.clone(),
        plan: plan.digest.hex(),
        gates: request.gates.clone(),
        person: person.clone(),
        given_ms: u64::try_from(clock.now().millis()).unwrap_or(0),
    };
    let line = sign_approval(&consented, key.signer.as_ref())?;
    // One file for what one key says of one set of gates: saying it again says it anew.
    let about = Digest::of_blob(request.gates.join("\n").as_bytes()).hex();
    let kept = approvals_dir(&workspace.state).join(plan.digest.hex()).join(format!(
        "{}-{}.intoto.json",
        &keyid[..16],
        &about[..8]
    ));
    make_state(&workspace.state)?;
    write_atomically(&kept, &line)?;
    for approved in approvals.iter_mut().filter(|approved| approved.counts) {
        let Some((addr, approval)) = asked.iter().find(|(addr, _)| *addr == approved.addr) else { continue };
        let (people, _) = record.given(&Consent { plan: plan.digest, addr, approval });
        let left = approval.min.saturating_sub(people.len() as u64);
        approved.open = (left > 0).then(|| format!("{left} more of {}", approval.group));
    }
    Ok(ApproveReply {
        plan: plan.digest,
        graph: plan.graph.clone(),
        person,
        key: name,
        keyid,
        key_is_new: key.is_new,
        file: kept,
        approvals,
    })
}

/// The key to sign with: the one asked for, that of the person, or the only one here that may approve.
fn key_name(keys: &Path, request: &ApproveRequest, asked: &[(&str, &Approval)]) -> Result<String, Error> {
    if let Some(name) = &request.key {
        return Ok(name.clone());
    }
    if let Some(person) = &request.person
        && public_key(keys, person).is_ok()
    {
        return Ok(person.clone());
    }
    let members: BTreeSet<&str> = asked
        .iter()
        .flat_map(|(_, approval)| approval.members.iter().flatten())
        .filter(|member| request.person.as_ref().is_none_or(|person| *person == member.name))
        .filter_map(|member| member.key.as_deref())
        .collect();
    let mut fitting: Vec<String> =
        public_keys(keys)?.into_iter().filter(|(_, key)| members.contains(key.keyid())).map(|(name, _)| name).collect();
    match (fitting.len(), asked.iter().any(|(_, approval)| approval.members.is_none())) {
        (1, _) => Ok(fitting.remove(0)),
        (0, true) => Ok(DEFAULT_KEY.to_owned()),
        (0, false) => Err(Error::usage_help(
            "no key of this workspace may approve",
            "name one by `--key NAME`; `partita key generate NAME` makes one, and the group must list its id",
        )),
        _ => Err(Error::usage_help(
            format!("several keys may approve: {}", fitting.join(", ")),
            "say which: `--key NAME`",
        )),
    }
}
