//! What is kept of actions whose class is not simply cached: effects in a ledger, so that a run that is
//! taken up again does not do them twice; records in a cassette, so that the loss of the store does not
//! ask again. Leaves out where these lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::fs::RenameFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::base::{ActionKey, Digest, Domain, Entry, Timestamp};
use crate::exec::Request;
use crate::exec::engine::{Engine, Prepared};
use crate::exec::error::{Error, Failure, FailureClass, Trouble};
use crate::exec::levels::Levels;
use crate::exec::outputs::{Most, collect};
use crate::exec::ports::RunLife;
use crate::exec::report::ActionReport;
use crate::plan::{Action, ActionId, Class, Plan};
use crate::store::{Begun, Cas, Claim, ClaimOutput, EffectRow, EffectState, Found, Ledger, materialize};

/// The variable that tells a process which doing of an effect it is: the same for all attempts of it.
pub(super) const IDEMPOTENCY_KEY: &str = "PARTITA_IDEMPOTENCY_KEY";

/// The idempotency key of a doing, from what tells it from all others.
pub(super) fn idempotency_key(seed: &[u8], sequence: u64) -> String {
    let mut bytes = seed.to_vec();
    bytes.extend_from_slice(&sequence.to_le_bytes());
    Digest::derive(Domain::Effect, &bytes).hex()
}

/// The idempotency key of what is in no ledger: no doing that is has it, as they are counted from 1.
pub(super) fn no_doing(key: ActionKey, addr: &str) -> String {
    let seed = [key.0.as_bytes().as_slice(), addr.as_bytes()].concat();
    idempotency_key(&seed, 0)
}

/// What a run asks of an effect.
pub(super) struct Asked<'a> {
    pub(super) action: &'a Action,
    /// The run that asks.
    pub(super) run: &'a str,
    /// It is to be done whatever is known.
    pub(super) again: bool,
    /// The user says that it happened.
    pub(super) done: bool,
    /// The runs that this one goes on with.
    pub(super) follows: &'a BTreeSet<String>,
    /// What has become of a run.
    pub(super) life: &'a dyn Fn(&str) -> RunLife,
}

/// What the ledger says before an effect begins.
pub(super) enum Standing {
    /// It is to be done.
    Open,
    /// It was done by a run that did not end well, which this one takes up.
    Done(Vec<ClaimOutput>, String),
    /// It was begun by a run of which nobody knows how it ended, and the user says that it happened.
    Said(String),
}

impl Asked<'_> {
    /// Looks up how the effect stands, and makes what this run takes up a part of it.
    pub(super) fn look(&self, ledger: &Ledger, key: ActionKey, now: i64) -> Result<Standing, Trouble> {
        ledger.look(key, &self.action.addr, |page| {
            let standing = self.standing(page.row())?;
            match &standing {
                Standing::Open => {}
                Standing::Done(..) => page.take_up(self.run, now)?,
                Standing::Said(_) => page.happened(self.run, &receipt(&[]), now)?,
            }
            Ok(standing)
        })
    }

    /// Writes that the effect begins, unless another run was quicker.
    pub(super) fn begin(&self, ledger: &Ledger, key: ActionKey, now: i64) -> Result<Begun, Trouble> {
        ledger.look(key, &self.action.addr, |page| match self.standing(page.row())? {
            Standing::Open => Ok(page.begin(self.run, now)?),
            Standing::Done(_, run) | Standing::Said(run) => {
                let text = format!(
                    "effect `{}` was begun by run {run} when this one was on its way to it\nhelp: run it again, which takes \
                     up what is there",
                    self.action.addr
                );
                Err(Failure::new(FailureClass::Unknown, text).into())
            }
        })
    }

    /// Judges the last doing.
    fn standing(&self, row: Option<&EffectRow>) -> Result<Standing, Failure> {
        let (action, addr) = (self.action, &self.action.addr);
        let unknown = |text: String| Failure::new(FailureClass::Unknown, text);
        let Some(row) = row else { return Ok(Standing::Open) };
        let (is_own, holder) = (row.held_by == self.run, &row.held_by);
        // Done at the same time by two, it would be done twice even where the other side can tell doings apart; and what a
        // run has done that is under way is a part of that one.
        if !is_own && (self.life)(holder) == RunLife::Alive {
            let help = "help: wait until that run has ended, or stop it";
            match row.state {
                EffectState::Failed | EffectState::Settled => {}
                EffectState::Intended => {
                    let text = format!("effect `{addr}` is being done by run {holder}, which is under way\n{help}");
                    return Err(unknown(text));
                }
                EffectState::Done => {
                    let text = format!("effect `{addr}` is a part of run {holder}, which is under way\n{help}");
                    return Err(unknown(text));
                }
            }
        }
        let is_followed = self.follows.contains(holder);
        // Whoever asks for it to be done again means what other runs did.
        if self.again && !is_own && !is_followed {
            return Ok(Standing::Open);
        }
        let ask = |why: String| {
            let again = format!("if it did not, or doing it twice does no harm, say `--refresh {addr}`");
            // Nobody has the outputs of one that is only said to have happened.
            let help = if action.spec.outputs.is_empty() {
                format!("if it happened, say `--done {addr}`; {again}")
            } else {
                format!("look whether it happened; {again}; if it did, give what needs its outputs in another way")
            };
            unknown(format!("{why}\nhelp: {help}"))
        };
        match row.state {
            EffectState::Settled if !is_followed => Ok(Standing::Open),
            EffectState::Failed => Ok(Standing::Open),
            EffectState::Done if is_own => {
                Err(unknown(format!("effect `{addr}` was done by this run, which does it once\nhelp: run it again")))
            }
            EffectState::Done | EffectState::Settled => match row.receipt.as_deref().map(parse) {
                Some(Some(outputs)) => Ok(Standing::Done(outputs, row.run.clone())),
                _ => Err(ask(format!("the ledger does not say what effect `{addr}` left"))),
            },
            EffectState::Intended if action.policy.idempotent => Ok(Standing::Open),
            EffectState::Intended if is_own => {
                Err(ask(format!("effect `{addr}` was begun by this run before, and nobody knows how that ended")))
            }
            EffectState::Intended if self.done && action.spec.outputs.is_empty() => Ok(Standing::Said(row.run.clone())),
            EffectState::Intended if self.done => Err(unknown(format!(
                "effect `{addr}` leaves outputs, which nobody has: it cannot be taken as done\nhelp: if doing it twice does \
                 no harm, say `--refresh {addr}`"
            ))),
            EffectState::Intended => {
                let fate = match (self.life)(&row.run) {
                    RunLife::Cancelled => "was cancelled before it ended",
                    RunLife::Ended => "saw it end in a way that says nothing of it",
                    RunLife::Gone | RunLife::Alive => "did not live to say how it ended",
                };
                Err(ask(format!("effect `{addr}` was begun in run {}, which {fate}: it may have happened", row.run)))
            }
        }
    }
}

impl Engine<'_> {
    /// What this run asks of an effect.
    pub(super) fn asked<T>(&self, action: &Action, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        ask(&Asked {
            action,
            run: &self.request.run,
            again: self.request.is_forced(&action.addr),
            done: self.request.done.contains(&action.addr),
            follows: &self.request.follows,
            life: &|run| self.ports.history.life(run),
        })
    }

    /// Writes into the ledger that an effect begins, if there is one.
    pub(super) fn intend(&self, action: &Action, prepared: &Prepared) -> Result<Option<Begun>, Trouble> {
        let Some(ledger) = self.request.ledger.as_ref().filter(|_| action.spec.class == Class::Effect) else {
            return Ok(None);
        };
        let now = self.ports.clock.now().0;
        self.asked(action, |asked| asked.begin(ledger, prepared.key, now)).map(Some)
    }
}

impl Engine<'_> {
    /// Keeps the answer of a record. Where another run was quicker, its answer is the one to go on with, and to claim.
    pub(super) fn kept_first(
        &self,
        action: &Action,
        claim: Claim,
    ) -> Result<(Claim, Option<Vec<ClaimOutput>>), Trouble> {
        let (Some(cassette), Class::Record) = (&self.request.cassette, action.spec.class) else {
            return Ok((claim, None));
        };
        let again = self.request.is_forced(&action.addr);
        let Some(first) = keep_first(cassette, &*self.ports.cas, self.levels(), action, &claim, again)? else {
            return Ok((claim, None));
        };
        let outputs = first.outputs.clone();
        let claim = Claim {
            outputs: first.outputs,
            run: first.run,
            created: first.at,
            duration_ms: first.duration_ms,
            isolation: first.isolation,
            ..claim
        };
        Ok((claim, Some(outputs)))
    }
}

/// Closes the effects of a run that ended well, and those that it took back: the next run does them anew.
pub(super) fn settle(
    request: &Request,
    plan: &Plan,
    reports: &BTreeMap<u32, ActionReport>,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(ledger) = &request.ledger else { return Ok(()) };
    for (id, report) in reports {
        let action = plan.action(ActionId(*id));
        if action.spec.class == Class::Effect
            && let Some(key) = report.key
        {
            ledger.settle(key, &action.addr, &request.run, now.0)?;
        }
    }
    // A run that was not asked to take anything back did not.
    let is_done = |addr: &str| {
        let below = plan.below(addr);
        !below.is_empty() && below.iter().all(|id| reports.contains_key(&id.0))
    };
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for action in &plan.actions {
        if let Some(addr) = action.policy.rollback.as_deref()
            && *known.entry(addr).or_insert_with(|| is_done(addr))
        {
            ledger.settle_at(&action.addr, now.0)?;
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    name: String,
    kind: String,
    value: String,
    #[serde(default)]
    exec: bool,
    #[serde(default)]
    size: u64,
}

/// Outputs as the ledger and cassettes keep them.
pub(super) fn receipt(outputs: &[ClaimOutput]) -> String {
    let one = |output: &ClaimOutput| {
        let name = output.name.clone();
        match &output.entry {
            Entry::File { digest, exec, size } => {
                Receipt { name, kind: "file".to_owned(), value: digest.hex(), exec: *exec, size: *size }
            }
            Entry::Dir { digest } => {
                Receipt { name, kind: "dir".to_owned(), value: digest.hex(), exec: false, size: 0 }
            }
            Entry::Symlink { target } => {
                Receipt { name, kind: "link".to_owned(), value: target.clone(), exec: false, size: 0 }
            }
        }
    };
    serde_json::to_string(&outputs.iter().map(one).collect::<Vec<_>>()).unwrap_or_default()
}

fn parse(text: &str) -> Option<Vec<ClaimOutput>> {
    let all: Vec<Receipt> = serde_json::from_str(text).ok()?;
    let one = |receipt: Receipt| {
        let entry = match receipt.kind.as_str() {
            "file" => Entry::File { digest: receipt.value.parse().ok()?, exec: receipt.exec, size: receipt.size },
            "dir" => Entry::Dir { digest: receipt.value.parse().ok()? },
            _ => Entry::Symlink { target: receipt.value },
        };
        Some(ClaimOutput { name: receipt.name, entry })
    };
    all.into_iter().map(one).collect()
}

/// A record in a cassette.
#[derive(Serialize, Deserialize)]
struct Recorded {
    key: String,
    addr: String,
    run: String,
    at: i64,
    duration_ms: u64,
    isolation: u8,
    outputs: String,
    manifest: String,
}

/// What a cassette gives back.
pub(super) struct Replay {
    pub(super) outputs: Vec<ClaimOutput>,
    pub(super) run: String,
    pub(super) at: i64,
    pub(super) duration_ms: u64,
    pub(super) isolation: u8,
}

/// Writes a record: `<cassette>/<key>/record.json`, and its outputs beside it below `outputs`. The first that is kept
/// stands, unless `again` says that it was asked for anew, or it was made under less isolation: given back is what another
/// run has kept meanwhile, which this one is to go on with.
fn keep_first(
    cassette: &Path,
    cas: &dyn Cas,
    levels: &Levels,
    action: &Action,
    claim: &Claim,
    again: bool,
) -> Result<Option<Replay>, Trouble> {
    let _alone = alone(cassette)?;
    if !again
        && let Some(first) = replay(cassette, cas, levels, action, claim.key)?
        && first.isolation >= claim.isolation
    {
        return Ok(Some(first));
    }
    write(cassette, cas, action, claim)?;
    Ok(None)
}

/// While this is held nobody else puts a record into a cassette. Where the file system locks no folders, the last wins.
fn alone(cassette: &Path) -> Result<std::fs::File, Trouble> {
    std::fs::create_dir_all(cassette).map_err(Error::io("make directory", cassette))?;
    let folder = std::fs::File::open(cassette).map_err(Error::io("open the folder", cassette))?;
    let _ = folder.lock();
    Ok(folder)
}

fn write(cassette: &Path, cas: &dyn Cas, action: &Action, claim: &Claim) -> Result<(), Trouble> {
    let (key, outputs) = (claim.key, &claim.outputs);
    let dir = cassette.join(key.to_string());
    let fresh = cassette.join(format!(".{key}.new"));
    let _ = std::fs::remove_dir_all(&fresh);
    std::fs::create_dir_all(fresh.join("outputs")).map_err(Error::io("make directory", &fresh))?;
    for output in outputs {
        let Some(declared) = action.spec.outputs.iter().find(|declared| declared.name == output.name) else { continue };
        match materialize(cas, &output.entry, &declared.path.under(&fresh.join("outputs")))? {
            Found::Whole(()) => {}
            // It was put there a moment ago; the next run records it.
            Found::Missing | Found::Corrupt => return Ok(()),
        }
    }
    let record = Recorded {
        key: key.to_string(),
        addr: action.addr.clone(),
        run: claim.run.clone(),
        at: claim.created,
        duration_ms: claim.duration_ms,
        isolation: claim.isolation,
        outputs: receipt(outputs),
        manifest: claim.manifest.clone(),
    };
    let file = fresh.join("record.json");
    let text = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
    std::fs::write(&file, text).map_err(Error::io("write", &file))?;
    put_in_place(&fresh, &dir).map_err(|error| Error::io("put in place", &dir)(error))?;
    Ok(())
}

/// Whether there is a record of a key, in whatever state.
pub(super) fn is_kept(cassette: &Path, key: ActionKey) -> bool {
    cassette.join(key.to_string()).symlink_metadata().is_ok()
}

/// Records what the store knows, where there is no record of it.
pub(super) fn keep_missing(cassette: &Path, cas: &dyn Cas, action: &Action, claim: &Claim) -> Result<(), Trouble> {
    if is_kept(cassette, claim.key) {
        return Ok(());
    }
    let _alone = alone(cassette)?;
    if is_kept(cassette, claim.key) { Ok(()) } else { write(cassette, cas, action, claim) }
}

/// Puts a folder in the place of another: at every instant there is one of them, whole, even if the power goes. What
/// was recorded may have been paid for.
fn put_in_place(fresh: &Path, dir: &Path) -> std::io::Result<()> {
    let folder = std::fs::File::open(fresh)?;
    rustix::fs::syncfs(&folder)?;
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, fresh, cwd, dir, RenameFlags::EXCHANGE) {
        // What was there before is now where the new one was.
        Ok(()) => std::fs::remove_dir_all(fresh)?,
        Err(Errno::NOENT) => std::fs::rename(fresh, dir)?,
        // A file system that cannot exchange.
        Err(_) => {
            let _ = std::fs::remove_dir_all(dir);
            std::fs::rename(fresh, dir)?;
        }
    }
    match dir.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Looks a record up, and puts its outputs into the store. One that is not as it was recorded is a failure: to ask
/// again costs money, and the answer may be another, so that is for people to decide.
pub(super) fn replay(
    cassette: &Path,
    cas: &dyn Cas,
    levels: &Levels,
    action: &Action,
    key: ActionKey,
) -> Result<Option<Replay>, Trouble> {
    if !is_kept(cassette, key) {
        return Ok(None);
    }
    let dir = cassette.join(key.to_string());
    let damaged = |why: &str| {
        let addr = &action.addr;
        let text = format!(
            "the record of `{addr}` in the cassette is damaged: {why}: `{}`\nhelp: bring it back from a backup; or \
             `--refresh {addr}` asks again and records the answer in its place",
            dir.display()
        );
        Trouble::from(Failure::new(FailureClass::Damaged, text))
    };
    let text = std::fs::read_to_string(dir.join("record.json")).map_err(|_| damaged("`record.json` cannot be read"))?;
    let record: Recorded = serde_json::from_str(&text).map_err(|_| damaged("`record.json` is no record"))?;
    let outputs = match collect(cas, levels, &action.spec.outputs, &dir.join("outputs"), Most::default()) {
        Ok(outputs) => outputs,
        Err(Trouble::Fail(_)) => return Err(damaged("its outputs are not all there")),
        Err(other) => return Err(other),
    };
    if record.key != key.to_string() {
        return Err(damaged("it is of another key"));
    }
    if receipt(&outputs) != record.outputs {
        return Err(damaged("its outputs are not as they were recorded"));
    }
    Ok(Some(Replay {
        outputs,
        run: record.run,
        at: record.at,
        duration_ms: record.duration_ms,
        isolation: record.isolation,
    }))
}
