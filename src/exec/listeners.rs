//! Who listens at a port of this machine: whether it is a process that this program started. Between the moment in
//! which a free port is given up and that in which a service takes it, anybody else may. Leaves out what a service says.
//!
//! The files read are those of proc(5): `/proc/net/tcp` and `tcp6` for listeners with their inodes, `/proc/PID/stat` for who
//! started whom, `/proc/PID/fd` for who holds which socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The state of a socket that listens, as `/proc/net/tcp` writes it.
const LISTENS: &str = "0A";

/// The port of those given at which others listen, and nobody that this program started. What cannot be looked at counts as
/// nobody's.
pub(super) fn taken_by_others(ports: &BTreeSet<u16>) -> Option<u16> {
    let mut at: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for (port, inode) in listeners(&fs::read_to_string(file).unwrap_or_default()) {
            if ports.contains(&port) {
                at.entry(port).or_default().insert(inode);
            }
        }
    }
    if at.is_empty() {
        return None;
    }
    let own = sockets_of(&descendants(std::process::id()));
    at.into_iter().find(|(_, inodes)| inodes.is_disjoint(&own)).map(|(port, _)| port)
}

/// Ports at which somebody listens for connections from this machine, with the inodes of the sockets.
fn listeners(table: &str) -> Vec<(u16, u64)> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let reached = *fields.get(3)? == LISTENS && is_reached(address);
        Some((u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?)).filter(|_| reached)
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Whether a connection to the loopback address reaches what listens at this one, in groups of four bytes, each in the
/// byte order of the machine.
fn is_reached(address: &str) -> bool {
    let any = address.bytes().all(|digit| digit == b'0');
    let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let loopback = word([127, 0, 0, 1]);
    let mapped = format!("{}{}{}{loopback}", word([0; 4]), word([0; 4]), word([0, 0, 0xff, 0xff]));
    any || address == loopback || address == mapped
}

#[expect(clippy::disallowed_methods, reason = "the order of processes and descriptors decides nothing")]
fn names_in(folder: &str) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// All processes that one started, and those that they started.
fn descendants(of: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in names_in("/proc").filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok()) {
        // The name of the program stands in parentheses, and may hold anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut open) = (BTreeSet::from([of]), vec![of]);
    while let Some(pid) = open.pop() {
        open.extend(children.get(&pid).into_iter().flatten().filter(|child| found.insert(**child)));
    }
    found
}

/// The inodes of the sockets that processes hold.
fn sockets_of(pids: &BTreeSet<u32>) -> BTreeSet<u64> {
    let links =
        pids.iter().flat_map(|pid| names_in(&format!("/proc/{pid}/fd"))).filter_map(|path| fs::read_link(path).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_listens_is_found_with_its_inode() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let table = if listener.local_addr().unwrap().is_ipv6() { "/proc/net/tcp6" } else { "/proc/net/tcp" };
            let found = listeners(&fs::read_to_string(table).unwrap());
            let inode = found.iter().find(|(number, _)| *number == port).unwrap().1;
            assert!(sockets_of(&BTreeSet::from([std::process::id()])).contains(&inode));
            assert_eq!(taken_by_others(&BTreeSet::from([port])), None, "it is our own");
        }
        let (mapped, other) = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), Ipv6Addr::from(1 << 100));
        let words = |address: Ipv6Addr| {
            let word = |four: &[u8]| u32::from_ne_bytes(four.try_into().unwrap());
            let [a, b, c, d] = [0, 4, 8, 12].map(|at| word(&address.octets()[at..at + 4]));
            format!("{a:08X}{b:08X}{c:08X}{d:08X}")
        };
        assert!(is_reached(&words(mapped)) && !is_reached(&words(other)));
    }

    /// One that listens and is no child of this one: who started it has ended. It ends when its input does.
    const STRANGER: &str = "exec 3<&0; python3 -c 'import socket, sys; s = socket.create_server((\"127.0.0.1\", 0)); \
                            print(s.getsockname()[1], flush=True); sys.stdin.read()' <&3 &";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process that is not started as those of actions are")]
    fn a_stranger_at_a_port_is_seen() {
        let mut shell = Command::new("sh");
        shell.args(["-c", STRANGER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let (input, output) = (shell.stdin.take(), shell.stdout.take().unwrap());
        assert!(shell.wait().unwrap().success());
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        assert_eq!(taken_by_others(&BTreeSet::from([port])), Some(port));
        // Where one of ours listens as well, that is whom others reach.
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = BTreeSet::from([own.local_addr().unwrap().port()]);
        assert_eq!(taken_by_others(&ports), None);
        drop(input);
    }

    #[test]
    fn what_nobody_of_ours_holds_is_others() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534 0 4711 1 0 100 0 0 10 0\n\
                     1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000 65534 0 4712 1 0 100 0 0 10 0\n\
                     2: 0105A8C0:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534 0 4713 1 0 100 0 0 10 0\n";
        let found = listeners(table);
        assert_eq!(found, if cfg!(target_endian = "little") { vec![(8080, 4711)] } else { vec![] });
        assert!(descendants(std::process::id()).contains(&std::process::id()));
        assert!(!descendants(std::process::id()).contains(&1));
    }
}
