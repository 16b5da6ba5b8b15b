//! Makes an action again in other surroundings, twice, and tells where what comes out differs and why. Leaves out
//! which actions are checked, and what becomes of the answer.

mod cause;
mod content;
mod vary;

use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::base::{Digest, Entry, Timestamp};
use crate::event::{Cause, Check, Difference, Event, Place, Verdict};
use crate::exec::attempts::Attempts;
use crate::exec::engine::{Engine, Prepared, Surroundings};
use crate::exec::error::{Error, Lost, Trouble};
use crate::exec::stage::remove;
use crate::plan::{Action, ActionId, ActionKind, Class, Isolation};
use crate::store::{Cas, ClaimOutput, Found as Content};

use cause::{Facts, cause};
use content::{Found, locate};
use vary::{AHEAD, Ground, NAME, false_clock, last_pid, processors};

pub(super) use vary::Conditions;

/// Differences that are told of one action.
const TOLD: usize = 20;
/// Bytes of a file that is looked into; of a longer one the first byte that differs is told.
const LOOKED_INTO: u64 = 64 << 20;
/// The coarsest clock that is kept in files: that of ZIP archives.
const STEP_MS: i64 = 2_000;

/// Why an action is not checked; `None` if it can be.
pub fn unfit(action: &Action) -> Option<&'static str> {
    match (&action.spec.kind, action.spec.class) {
        (ActionKind::Exec { .. }, Class::Pure) if action.spec.services.is_empty() => None,
        (ActionKind::Exec { .. }, Class::Pure) => Some("it uses a service"),
        (ActionKind::Exec { .. }, Class::Fixed) => Some("it is `fixed`: what comes out is checked each time it runs"),
        (ActionKind::Exec { .. }, Class::Record) => Some("it is `record`: it is asked once"),
        (ActionKind::Exec { .. }, Class::Volatile) => Some("it is `volatile`"),
        (ActionKind::Exec { .. }, Class::Effect) => Some("it is an effect, which is done once"),
        _ => Some("it is built in and starts no process"),
    }
}

/// What came of one attempt.
struct Again {
    outputs: Result<Vec<ClaimOutput>, String>,
    facts: Facts,
    isolation: Isolation,
}

/// What is compared.
struct Compared<'a> {
    engine: &'a Engine<'a>,
    facts: Facts,
    scratch: &'a Path,
    differences: Vec<Difference>,
}

impl Engine<'_> {
    /// Makes an action whose result is known again, at most twice.
    pub(super) fn check(
        &self,
        id: ActionId,
        prepared: &Prepared,
        result: &[ClaimOutput],
        made: Timestamp,
        tell: &dyn Fn(Event),
    ) -> Result<Check, Trouble> {
        let action = self.plan.action(id);
        let mut check = Check { verdict: Verdict::Unchecked, runs: 0, differences: Vec::new(), notes: Vec::new() };
        if let Some(why) = unfit(action) {
            check.notes.push(why.to_owned());
            return Ok(check);
        }
        let scratch = self.ports.cas.scratch()?;
        let checked = self.check_in(&scratch, id, prepared, result, made, tell, &mut check);
        remove(&scratch);
        checked.map(|()| check)
    }

    #[expect(clippy::too_many_arguments, reason = "the same as above with a folder and the answer")]
    fn check_in(
        &self,
        scratch: &Path,
        id: ActionId,
        prepared: &Prepared,
        result: &[ClaimOutput],
        made: Timestamp,
        tell: &dyn Fn(Event),
        check: &mut Check,
    ) -> Result<(), Trouble> {
        let action = self.plan.action(id);
        let ground = Ground::new(scratch).map_err(Error::io("make a folder for a check below", scratch))?;
        let elsewhere = Attempts::new(&ground.dir)?;
        let cpus = processors();
        if !ground.apart {
            check.notes.push("the order of files was not varied: there is no other file system to run on".to_owned());
        }
        if cpus < 2 {
            check.notes.push("the number of processors was not varied: there is one".to_owned());
        }
        self.pass(made)?;
        let base = Facts { made_ms: made.millis(), cpus: [cpus as u64; 2], ..Facts::default() };
        let mut compared = Compared { engine: self, facts: base.clone(), scratch, differences: Vec::new() };

        let varied = Conditions::varied(false, cpus, None);
        let first = self.again(id, prepared, &elsewhere, &varied, &base, tell)?;
        check.runs = 1;
        // A library from outside is not to be had where only what is declared is.
        let lies = first.isolation == Isolation::None && !action.spec.env.contains_key("LD_PRELOAD");
        let library = false_clock().filter(|_| lies);
        if library.is_none() {
            check.notes.push("the clock was varied by seconds only, as libfaketime cannot be used".to_owned());
        }
        if first.isolation == Isolation::Full {
            check.notes.push("isolation `full` hides the folder, the umask and other processes".to_owned());
        }
        match first.outputs {
            Ok(outputs) if outputs.as_slice() == result => {
                let varied = Conditions::varied(true, cpus, library.as_deref());
                let second = self.again(id, prepared, &elsewhere, &varied, &base, tell)?;
                compared.facts = second.facts;
                match &second.outputs {
                    Ok(outputs) => compared.outputs(action, result, outputs, None)?,
                    Err(text) => compared.exit(text),
                }
                if library.is_some() {
                    let doubted = compared.doubted();
                    check.notes.extend(doubted.map(|place| {
                        format!("it came out otherwise under a false clock, which may be that clock's fault: {place}")
                    }));
                }
            }
            Ok(outputs) => {
                // What goes away in the first surroundings comes from the others.
                let here = Attempts::new(scratch)?;
                let plain = self.again(id, prepared, &here, &Conditions::plain(), &base, tell)?;
                compared.facts = first.facts;
                compared.outputs(action, result, &outputs, plain.outputs.as_deref().ok())?;
                if let Err(text) = plain.outputs {
                    compared.exit(&text);
                }
            }
            Err(text) => {
                let here = Attempts::new(scratch)?;
                let plain = self.again(id, prepared, &here, &Conditions::plain(), &base, tell)?;
                compared.facts = Facts { ambient: plain.outputs.is_ok(), ..first.facts };
                compared.exit(&text);
                if let Ok(outputs) = plain.outputs {
                    compared.facts = plain.facts;
                    compared.outputs(action, result, &outputs, None)?;
                }
            }
        }
        check.runs = 2;
        check.differences = compared.differences;
        check.verdict = if check.differences.is_empty() { Verdict::Equal } else { Verdict::Different };
        Ok(())
    }

    /// Waits until no clock that files keep shows the time at which a result was made.
    fn pass(&self, made: Timestamp) -> Result<(), Trouble> {
        let now = self.ports.clock.now().millis();
        let next = (made.millis().div_euclid(STEP_MS) + 1) * STEP_MS;
        let left = next.saturating_sub(now).clamp(0, STEP_MS);
        let limit = Timespec { tv_sec: left / 1_000, tv_nsec: left % 1_000 * 1_000_000 };
        let mut fds = [PollFd::from_borrowed_fd(self.ports.cancel.fd(), PollFlags::IN)];
        // Interrupted, it is a little early, which costs no more than a chance.
        let _ = poll(&mut fds, Some(&limit));
        if self.ports.cancel.is_cancelled() { Err(Trouble::Cancelled) } else { Ok(()) }
    }

    fn again(
        &self,
        id: ActionId,
        prepared: &Prepared,
        attempts: &Attempts,
        conditions: &Conditions,
        base: &Facts,
        tell: &dyn Fn(Event),
    ) -> Result<Again, Trouble> {
        let action = self.plan.action(id);
        let ActionKind::Exec { tool, args } = &action.spec.kind else {
            return Err(Error::Plan(format!("`{}` starts no process", action.addr)).into());
        };
        let surroundings = Surroundings { attempts, conditions: Some(conditions) };
        let ahead = if conditions.false_clock.is_some() { AHEAD } else { Duration::ZERO };
        let (seen_ms, pid) = (self.ports.clock.now().millis(), last_pid());
        let attempted = self.execute(id, tool, args, prepared, &surroundings, tell);
        let pids = pid.zip(last_pid()).filter(|(from, to)| from <= to).map(|(from, to)| [from, to]);
        let user = ["USER", "LOGNAME"].iter().find_map(|name| self.ports.environment.raw(name));
        let facts = Facts {
            seen_ms,
            ahead_ms: ahead.as_millis() as i64,
            root: NAME.to_owned(),
            zone: conditions.zone.to_owned(),
            locale: conditions.locale(),
            cpus: [base.cpus[0], conditions.cpus.map_or(base.cpus[0], |cpus| cpus as u64)],
            umask: conditions.umask.unwrap_or(0o022),
            pids,
            user: user.map(|user| user.to_string_lossy().into_owned()),
            ..base.clone()
        };
        let isolation = attempted.isolation;
        let outputs = match attempted.result {
            Ok((outputs, _)) => Ok(outputs),
            Err(Trouble::Fail(_)) if self.ports.cancel.is_cancelled() => return Err(Trouble::Cancelled),
            Err(Trouble::Fail(failure)) => Err(failure.text),
            Err(trouble) => return Err(trouble),
        };
        Ok(Again { outputs, facts, isolation })
    }
}

impl Compared<'_> {
    fn outputs(
        &mut self,
        action: &Action,
        before: &[ClaimOutput],
        after: &[ClaimOutput],
        plain: Option<&[ClaimOutput]>,
    ) -> Result<(), Trouble> {
        let find = |outputs: &[ClaimOutput], name: &str| {
            outputs.iter().find(|output| output.name == name).map(|output| output.entry.clone())
        };
        for output in &action.spec.outputs {
            let (Some(a), Some(b)) = (find(before, &output.name), find(after, &output.name)) else { continue };
            let third = plain.and_then(|plain| find(plain, &output.name));
            self.entries(&output.name, output.path.as_str(), &a, &b, third.as_ref())?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        output: &str,
        path: &str,
        before: &Entry,
        after: &Entry,
        plain: Option<&Entry>,
    ) -> Result<(), Trouble> {
        if before == after || self.differences.len() >= TOLD {
            return Ok(());
        }
        self.facts.ambient = plain == Some(before);
        let field = |name: &str, before: String, after: String| Found {
            members: Vec::new(),
            place: Place::Field { name: name.to_owned() },
            raw: [before.clone().into_bytes(), after.clone().into_bytes()],
            before,
            after,
            whole: Vec::new(),
        };
        match (before, after) {
            (Entry::File { digest: a, exec: was, size: had }, Entry::File { digest: b, exec: is, size: has }) => {
                if was != is {
                    let shown = |exec: bool| if exec { "executable" } else { "not executable" }.to_owned();
                    self.tell(output, path, field("mode", shown(*was), shown(*is)));
                }
                if a == b {
                    return Ok(());
                }
                let found = if *had.max(has) > LOOKED_INTO {
                    self.first_of_long(*a, *b)?
                } else {
                    locate(&self.bytes(*a)?, &self.bytes(*b)?)
                };
                for found in found {
                    self.tell(output, path, found);
                }
            }
            (Entry::Dir { digest: a }, Entry::Dir { digest: b }) => {
                let levels = self.engine.levels();
                let (a, b) = (levels.get(*a)?, levels.get(*b)?);
                let third = match plain {
                    Some(Entry::Dir { digest }) => Some(levels.get(*digest)?),
                    _ => None,
                };
                let names: std::collections::BTreeSet<&String> = a.entries.keys().chain(b.entries.keys()).collect();
                for name in names {
                    let below = format!("{path}/{name}");
                    let third = third.as_ref().and_then(|third| third.entries.get(name));
                    match (a.entries.get(name), b.entries.get(name)) {
                        (Some(before), Some(after)) => self.entries(output, &below, before, after, third)?,
                        (before, _) => {
                            self.facts.ambient = plain.is_some() && before.is_some() == third.is_some();
                            let shown = |there: bool| if there { name.clone() } else { "absent".to_owned() };
                            let (x, y) = (shown(before.is_some()), shown(before.is_none()));
                            self.tell(output, &below, Found { place: Place::Presence, ..field("", x, y) });
                        }
                    }
                }
            }
            (Entry::Symlink { target: a }, Entry::Symlink { target: b }) => {
                self.tell(output, path, field("target", a.clone(), b.clone()));
            }
            _ => {
                let kind = |entry: &Entry| match entry {
                    Entry::File { .. } => "a file".to_owned(),
                    Entry::Dir { .. } => "a folder".to_owned(),
                    Entry::Symlink { .. } => "a symbolic link".to_owned(),
                };
                self.tell(output, path, field("kind", kind(before), kind(after)));
            }
        }
        Ok(())
    }

    fn tell(&mut self, output: &str, path: &str, found: Found) {
        let known = self
            .differences
            .iter()
            .any(|told| told.path == path && told.members == found.members && told.place == found.place);
        if known || self.differences.len() >= TOLD {
            return;
        }
        let cause = cause(&found, &self.facts);
        let Found { members, place, before, after, .. } = found;
        let (output, path) = (output.to_owned(), path.to_owned());
        self.differences.push(Difference { output, path, members, place, before, after, cause });
    }

    /// Takes back what a broken false clock may have done: the library makes some calls fail. Gives where it was.
    fn doubted(&mut self) -> Option<String> {
        let doubtful = [Cause::Surroundings, Cause::Unknown, Cause::Randomness];
        let first = self.differences.iter().find(|told| doubtful.contains(&told.cause)).map(Difference::located);
        self.differences.retain(|told| !doubtful.contains(&told.cause));
        first
    }

    /// It did not end well this time.
    fn exit(&mut self, text: &str) {
        let found = Found {
            members: Vec::new(),
            place: Place::Exit,
            before: "it ended well".to_owned(),
            after: text.lines().next().unwrap_or_default().to_owned(),
            raw: Default::default(),
            whole: Vec::new(),
        };
        self.tell("", "", found);
    }

    fn bytes(&self, digest: Digest) -> Result<Vec<u8>, Trouble> {
        let lost = |corrupt| Err(Trouble::Lost(Lost { digest, corrupt, producer: None }));
        match self.engine.ports.cas.get(digest)? {
            Content::Whole(bytes) => Ok(bytes),
            Content::Missing => lost(false),
            Content::Corrupt => lost(true),
        }
    }

    /// Where two files differ that are too long to be looked into.
    fn first_of_long(&self, before: Digest, after: Digest) -> Result<Vec<Found>, Trouble> {
        let open = |digest: Digest, name: &str| {
            let path = self.scratch.join(name);
            let _ = std::fs::remove_file(&path);
            let cas: &dyn Cas = &*self.engine.ports.cas;
            let lost = |corrupt| Err(Trouble::Lost(Lost { digest, corrupt, producer: None }));
            match cas.copy_to(digest, &path, false)? {
                Content::Whole(()) => {}
                Content::Missing => return lost(false),
                Content::Corrupt => return lost(true),
            }
            let file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
            Ok::<_, Trouble>(BufReader::with_capacity(1 << 20, file))
        };
        let (mut a, mut b) = (open(before, "before")?, open(after, "after")?);
        let mut offset = 0;
        loop {
            let mut parts = [Vec::new(), Vec::new()];
            let read = (&mut a).take(1 << 20).read_to_end(&mut parts[0]);
            read.and_then(|_| (&mut b).take(1 << 20).read_to_end(&mut parts[1]))
                .map_err(Error::io("read", self.scratch))?;
            if parts[0] == parts[1] && !parts[0].is_empty() {
                offset += parts[0].len() as u64;
                continue;
            }
            // Not as text, whose lines might be as long, and not as a document.
            let found = locate(&parts[0], &parts[1]);
            return Ok(found
                .into_iter()
                .take(1)
                .map(|mut found| {
                    found.members.clear();
                    if let Place::Bytes { offset: within, .. } = found.place {
                        found.place = Place::Bytes { offset: offset + within, line: None };
                    } else {
                        found.place = Place::Bytes { offset, line: None };
                    }
                    found
                })
                .collect());
        }
    }
}
