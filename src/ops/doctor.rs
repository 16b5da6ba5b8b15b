//! What this machine can do and what is wrong with it, looked at by trying. Leaves out repair.

use std::path::Path;

use crate::base::{Environment, format_bytes};
use crate::exec::{Cgroups, IsolationLevels};
use crate::ops::utilities::utilities;
use crate::plan::Isolation;
use crate::store::network_of;

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, with less.
    Less,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// What was seen.
    pub seen: String,
}

/// Looks at the store, the state directory, the shell and the platform.
pub fn doctor(store: Option<&Path>, state: Option<&Path>, environment: &Environment) -> Vec<Finding> {
    let mut findings = vec![
        Finding { what: "platform", health: Health::Good, seen: crate::plan::platform() },
        Finding {
            what: "processors",
            health: Health::Good,
            seen: std::thread::available_parallelism().map_or_else(|e| e.to_string(), |n| n.to_string()),
        },
    ];
    findings.extend(isolation());
    for (what, dir) in [("store", store), ("state", state)] {
        if let Some(dir) = dir {
            findings.push(directory(what, dir));
        }
    }
    findings.extend(utilities(environment));
    findings
}

/// The strongest level there is, and why there is no stronger.
fn isolation() -> Vec<Finding> {
    let levels = IsolationLevels::of_this_machine();
    let (health, seen) = match levels.strongest() {
        Isolation::Full => {
            (Health::Good, "full: namespaces, Landlock and seccomp enforce what an action may see and do")
        }
        Isolation::Landlock => (Health::Less, "landlock: files and system calls are confined, processes are not"),
        Isolation::None => (
            Health::Less,
            "none: actions get their own folder, exact environment and declared tools, and nothing enforces it",
        ),
    };
    let mut findings = vec![Finding { what: "isolation", health, seen: seen.to_owned() }];
    for level in [Isolation::Full, Isolation::Landlock] {
        if let Some(lack) = levels.lack(level) {
            let seen = format!("no {}: {}; {}", level.word(), lack.reason, lack.mend);
            findings.push(Finding { what: "isolation", health: Health::Less, seen });
        }
    }
    findings.push(landlock());
    findings.push(cgroups());
    findings.push(if_killed(levels.strongest()));
    findings
}

/// Landlock as the kernel has it.
fn landlock() -> Finding {
    let what = "landlock";
    match IsolationLevels::landlock_version() {
        Ok((kernel, newest, least)) => {
            let health = if kernel >= least { Health::Good } else { Health::Less };
            let seen = format!("version {kernel} of its interface; {least} is needed, up to {newest} is used");
            Finding { what, health, seen }
        }
        Err(why) => Finding { what, health: Health::Less, seen: format!("none: {why}") },
    }
}

/// What bounds and ends attempts besides namespaces.
fn cgroups() -> Finding {
    let what = "cgroup";
    let otherwise = "memory and processes are bounded by resource limits and by looking";
    match Cgroups::of_this_process() {
        Ok(found) => {
            let (health, bounds) = if found.limits {
                (Health::Good, "bounds memory and processes".to_owned())
            } else {
                (Health::Less, format!("has no `memory` and `pids`: {otherwise}"))
            };
            let kills = if found.kills { ", and ends all of an attempt at once" } else { "" };
            Finding { what, health, seen: format!("`{}` {bounds}{kills}", found.folder().display()) }
        }
        Err(why) => Finding { what, health: Health::Less, seen: format!("none of ours: {why}; {otherwise}") },
    }
}

/// What becomes of actions if this program is killed.
fn if_killed(strongest: Isolation) -> Finding {
    let what = "if killed";
    if Cgroups::of_this_process().is_ok_and(|found| found.kills) {
        let seen = "the kernel ends all of an action, at every level".to_owned();
        return Finding { what, health: Health::Good, seen };
    }
    let (health, full) = match strongest {
        Isolation::Full => (Health::Good, "full: the kernel ends all of an action; "),
        Isolation::Landlock | Isolation::None => (Health::Less, ""),
    };
    let seen = format!(
        "{full}landlock, none: a warden ends it, but for who left group, session, folder, variables and parent all behind \
         within the last second"
    );
    Finding { what, health, seen }
}

fn directory(what: &'static str, dir: &Path) -> Finding {
    let mut existing = dir;
    while !existing.exists() {
        match existing.parent() {
            Some(parent) => existing = parent,
            None => break,
        }
    }
    let space = rustix::fs::statvfs(existing).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let network = network_of(existing);
    let shown = dir.display();
    match tempfile::tempfile_in(existing) {
        Err(error) => Finding {
            what,
            health: Health::Bad,
            seen: format!("{shown}: cannot be written, so nothing runs with it: {error}"),
        },
        Ok(_) if network.is_some() && what == "store" => Finding {
            what,
            health: Health::Bad,
            seen: format!("{shown}: on {}, where its index would be corrupted", network.unwrap_or_default()),
        },
        Ok(_) if network.is_some() => Finding {
            what,
            health: Health::Less,
            seen: format!("{shown}: on {}, where it is slower", network.unwrap_or_default()),
        },
        Ok(_) if space < 256 << 20 => {
            Finding { what, health: Health::Less, seen: format!("{shown}: only {} free", format_bytes(space)) }
        }
        Ok(_) => Finding { what, health: Health::Good, seen: format!("{shown}, {} free", format_bytes(space)) },
    }
}
