//! What the processes of an attempt use at the moment: how many they are, and how much memory they have
//! for themselves. Looked up in `/proc`, so that it needs neither rights nor control groups. Leaves out what
//! is done about one that uses too much.

use std::time::Duration;

use walkdir::WalkDir;

/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// What an attempt may use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Processes and threads at once.
    pub processes: Option<u64>,
    /// Bytes of memory that its processes have for themselves.
    pub memory: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_bytes: Option<u64>,
}

/// What was used too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Processes and threads.
    Processes,
    /// Memory.
    Memory,
}

impl Bounds {
    /// Whether somebody has to look.
    pub(super) fn are_watched(&self) -> bool {
        self.processes.is_some() || self.memory.is_some()
    }

    /// What is used too much of by the processes that `are_of` the attempt, given their numbers and groups.
    pub(super) fn breach(&self, are_of: impl Fn(i32, i32) -> bool) -> Option<Breach> {
        if !self.are_watched() {
            return None;
        }
        let (mut processes, mut memory) = (0_u64, 0_u64);
        for pid in pids() {
            // One that has ended meanwhile uses nothing.
            let Some(used) = Used::by(pid).filter(|used| are_of(pid, used.group)) else { continue };
            processes += used.threads;
            if self.memory.is_some() {
                memory = memory.saturating_add(private_bytes(pid));
            }
        }
        if self.memory.is_some_and(|most| memory > most) {
            return Some(Breach::Memory);
        }
        self.processes.is_some_and(|most| processes > most).then_some(Breach::Processes)
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let walk = WalkDir::new("/proc").min_depth(1).max_depth(1).sort_by_file_name().into_iter();
    walk.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

struct Used {
    group: i32,
    threads: u64,
}

impl Used {
    fn by(pid: i32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::read(&String::from_utf8_lossy(&stat))
    }

    /// `proc_pid_stat(5)`: the name is in brackets and may hold anything, so fields count from the last.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self { group: fields.get(2)?.parse().ok()?, threads: fields.get(17)?.parse().ok()? })
    }
}

/// Memory that a process shares with no file and nobody else that is not its child.
fn private_bytes(pid: i32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = statm.split_ascii_whitespace().skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared).saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself() {
        let own = std::process::id().cast_signed();
        let none = Bounds::default();
        assert_eq!(none.breach(|_, _| true), None);
        let one = Bounds { processes: Some(1), ..none };
        // The test runner has threads.
        assert!(Used::by(own).unwrap().threads >= 1);
        assert_eq!(one.breach(|pid, _| pid == -1), None);
        let tight = Bounds { memory: Some(1), ..none };
        assert_eq!(tight.breach(|pid, _| pid == own), Some(Breach::Memory));
        assert_eq!(Bounds { memory: Some(1 << 60), ..none }.breach(|pid, _| pid == own), None);
    }

    #[test]
    fn reads_names_of_any_kind() {
        let stat = "12 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100";
        let used = Used::read(stat).unwrap();
        assert_eq!((used.group, used.threads), (7, 9));
    }
}
