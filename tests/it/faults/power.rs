//! Power that is cut: a file system of its own for the store is shut down without its log being written (ext4 and xfs
//! know an `ioctl` for that), mounted again, and looked at. What a run had said it was done with is still there. Leaves
//! out disks that lie.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use partita::base::{Clock as _, Environment, SystemClock};
use rustix::event::{Timespec, poll};

use super::workspace;
use crate::support::{Workspace, tool};

/// How long a step of a cut may take, beside whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(1);

/// `FS_IOC_SHUTDOWN` with `FSOP_GOING_FLAGS_NOLOGFLUSH`.
const CUT: &str =
    "import fcntl,os,struct,sys\nfcntl.ioctl(os.open(sys.argv[1],os.O_RDONLY),0x8004587D,struct.pack('I',2))";

/// A file system in a file, mounted on a folder.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

#[expect(clippy::disallowed_methods, reason = "disks are made and mounted by other programs, and no action is meant")]
fn say(program: &Path, args: &[&str]) -> bool {
    // One that hangs is a failure, and not for ever.
    let all = ["-k", "5", "60"].iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let output = std::process::Command::new("timeout").args(all).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

impl Disk {
    /// `None` where that is not permitted.
    fn make(folder: &Path, make: &Path, bytes: u64) -> Option<Self> {
        let disk = Self { image: folder.join("disk.image"), at: folder.join("disk") };
        std::fs::create_dir(&disk.at).expect("a folder can be made");
        std::fs::File::create(&disk.image).and_then(|file| file.set_len(bytes)).expect("a file can be made");
        let image = disk.image.to_str().expect("it is UTF-8");
        (say(make, &["-q", image]) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        let (image, at) = (self.image.to_str().expect("UTF-8"), self.at.to_str().expect("UTF-8"));
        say(Path::new("mount"), &["-o", "loop", image, at])
    }

    /// Whether a device is still made of the file.
    #[expect(clippy::disallowed_methods, reason = "see `say`")]
    fn is_held(&self) -> bool {
        let asked = std::process::Command::new("losetup").arg("-j").arg(&self.image).output();
        asked.is_ok_and(|output| !output.stdout.is_empty())
    }

    /// Cuts the power.
    fn cut(&self, python: &Path) {
        assert!(say(python, &["-c", CUT, self.at.to_str().expect("UTF-8")]), "the file system can be shut down");
    }

    /// What is left when the power is back.
    fn comes_back(&self) {
        // Processes of an action that was killed may be on their way out.
        within(&format!("unmounting {}", self.at.display()), || {
            say(Path::new("umount"), &[self.at.to_str().expect("UTF-8")])
        });
        // Sandboxes that are made elsewhere at this moment have a view of it too, and it is what it was until the last
        // of them has gone: mounted before, it would still be off.
        within(&format!("the last who sees {}", self.image.display()), || !self.is_held());
        assert!(self.mount(), "its log is replayed");
    }
}

/// Waits for something to become true, for as long as that may take: longer is a fault, and is said with what was waited for.
fn within(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.elapsed() < PATIENCE, "{what}: still not done after {} s", PATIENCE.as_secs());
        // What is waited for is the kernel's, and asking takes a process each time: not more often than it may change.
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        say(Path::new("umount"), &["-l", self.at.to_str().unwrap_or_default()]);
    }
}

/// Runs the graph until it has told so many events, and cuts the power in the midst of it.
fn cut_after(workspace: &Workspace, disk: &Disk, store: &str, events: u64, python: &Path) {
    let args = ["--store", store, "run", "g", "-j", "2", "--progress", "json"];
    let mut child = workspace
        .partita(&args)
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
    for _ in 0..events {
        if lines.next().is_none() {
            break;
        }
    }
    disk.cut(python);
    // It may have ended by itself, with an error or before the cut.
    let _ = child.kill();
    let stat = format!("/proc/{}/stat", child.id());
    let what =
        || format!("the end of the run that was cut off: {}", std::fs::read_to_string(&stat).unwrap_or_default());
    within(&what(), || child.try_wait().expect("it can be waited for").is_some());
}

#[expect(clippy::print_stderr, reason = "a skip must be seen, and the figure is what the test is for")]
fn cuts(make: &str, bytes: u64) {
    let (Some(make), Some(python)) = (tool(make), tool("python3")) else { return };
    let cuts = Environment::of_process().raw("PARTITA_CUTS").and_then(|text| text.to_str()?.parse::<u64>().ok());
    let cuts = cuts.unwrap_or(12);
    let workspace = workspace();
    let Some(disk) = Disk::make(workspace.around(), &make, bytes) else {
        eprintln!("skipped: a file system cannot be made and mounted here");
        return;
    };
    let store = disk.at.join("store");
    let store = store.to_str().expect("it is UTF-8");
    let (mut acknowledged, mut lost, mut unsound) = (0, 0, Vec::new());
    let clock = SystemClock::new();
    let mut slowest = Duration::ZERO;
    for cut in 0..cuts {
        let begun = clock.elapsed();
        let own = format!("cut {cut}\n");
        workspace.write("own.txt", &own);
        let done = cut % 3 == 0;
        if done {
            workspace.run(&["--store", store, "run", "g"]).ok();
            acknowledged += 1;
            disk.cut(&python);
        } else {
            cut_after(&workspace, &disk, store, cut % 14, &python);
        }
        disk.comes_back();
        let verified = workspace.run(&["--store", store, "store", "verify"]);
        if !verified.stdout.contains("all sound") {
            unsound.push(format!("cut {cut}: {}", verified.describe()));
        }
        if done && workspace.run(&["--store", store, "run", "g", "--require-cached"]).status != 0 {
            lost += 1;
        }
        workspace.run(&["--store", store, "run", "g"]).ok();
        assert_eq!(workspace.read("out/g/last/o"), format!("{own}{own}x\n"), "the bytes are right");
        slowest = slowest.max(clock.elapsed().saturating_sub(begun));
    }
    eprintln!(
        "{}: {cuts} cuts in {} s (the slowest {} ms), {acknowledged} results acknowledged before them, {lost} of these lost, \
         {} stores unsound",
        make.display(),
        clock.elapsed().as_secs(),
        slowest.as_millis(),
        unsound.len()
    );
    assert!(lost == 0 && unsound.is_empty(), "{lost} lost; {unsound:?}");
}

#[test]
fn power_cut_on_ext4_loses_nothing_that_was_acknowledged() {
    cuts("mkfs.ext4", 64 << 20);
}

#[test]
fn power_cut_on_xfs_loses_nothing_that_was_acknowledged() {
    cuts("mkfs.xfs", 320 << 20);
}
