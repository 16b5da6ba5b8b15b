//! How much memory processes use, from `/proc`: what they have for themselves, and what they share with each other,
//! each page of it once. Leaves out files of disks: the kernel drops their pages when it needs the room.

use std::collections::BTreeMap;

use crate::exec::held::Id;

/// In place of a device: shared memory of System V, by its number.
pub(super) const SEGMENT: u64 = u64::MAX;

/// The most that a process can use: as if it shared nothing. Quick to find out.
pub(super) fn at_most(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    sum(&status, &["RssAnon:", "RssShmem:", "VmSwap:"]).unwrap_or(0)
}

/// What processes use together. A page that several of them have is counted to each in part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes of memory that no file is behind.
    pub(super) own: u64,
    /// Bytes of memory that is shared as files are.
    pub(super) shared: u64,
}

impl Used {
    /// Adds a process. The kernel goes through all of its pages for that.
    pub(super) fn add(&mut self, pid: i32) {
        let all = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        match (sum(&all, &["Pss_Anon:"]), sum(&all, &["Pss_Shmem:"])) {
            (Some(own), Some(shared)) => {
                self.own = self.own.saturating_add(own).saturating_add(sum(&all, &["SwapPss:"]).unwrap_or(0));
                self.shared = self.shared.saturating_add(shared);
            }
            // It does not let itself be looked into, or the kernel does not tell.
            _ => self.own = self.own.saturating_add(at_most(pid)),
        }
    }
}

/// Bytes of the segments of shared memory of System V, whether anybody has them mapped or not, whose creators are asked
/// for.
pub(super) fn segments(is_of: impl Fn(i32) -> bool) -> BTreeMap<Id, u64> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    table.lines().skip(1).filter_map(|line| segment(line, &is_of)).collect()
}

/// `proc_sysvipc(5)`: key, number, rights, size, creator, last user, …; at the end the bytes that are in memory and swapped
/// out.
fn segment(line: &str, is_of: impl Fn(i32) -> bool) -> Option<(Id, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let creator = fields.get(4)?.parse().ok()?;
    let bytes = |at: usize| fields.get(at)?.parse::<u64>().ok();
    is_of(creator).then_some(())?;
    Some(((SEGMENT, fields.get(1)?.parse().ok()?), bytes(14)?.saturating_add(bytes(15)?)))
}

/// The sum of lines that end in `kB`; `None` where none of them is there.
fn sum(text: &str, names: &[&str]) -> Option<u64> {
    let value = |line: &str| {
        let rest = names.iter().find_map(|name| line.strip_prefix(name))?;
        rest.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()
    };
    text.lines().filter_map(value).reduce(u64::saturating_add).map(|kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_tells() {
        let status =
            "Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t  100 kB\nRssFile:\t  500 kB\nRssShmem:\t  300 kB\nVmSwap:\t 7 kB\n";
        assert_eq!(sum(status, &["RssAnon:", "RssShmem:", "VmSwap:"]), Some(407 * 1024));
        assert_eq!(sum(status, &["Pss_Anon:"]), None);
        let line = "         0          3   600  1048576  77  78  1  1000  100  1000  100  1  2  3  65536  4096";
        assert_eq!(segment(line, |creator| creator == 77), Some(((SEGMENT, 3), 69_632)));
        assert_eq!(segment(line, |creator| creator == 78), None);
        assert_eq!(segment("key shmid", |_| true), None);
    }

    #[test]
    fn a_process_uses_no_more_than_it_has() {
        let own = std::process::id().cast_signed();
        let mut used = Used::default();
        used.add(own);
        assert!(used.own > 0);
        assert!(used.own + used.shared <= at_most(own) + (8 << 20), "{used:?}");
    }
}
