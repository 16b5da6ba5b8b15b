//! Power that is cut: a file system of its own for the store is shut down without its log being written (ext4 and xfs
//! know an `ioctl` for that), mounted again, and looked at. What a run had said it was done with is still there. Leaves
//! out disks that lie.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use partita::base::{Clock as _, Environment, SystemClock};

use super::workspace;
use crate::support::{Workspace, tool};

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
    std::process::Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
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
        let clock = SystemClock::new();
        // Processes of an action that was killed may be on their way out.
        while !say(Path::new("umount"), &[self.at.to_str().expect("UTF-8")]) {
            assert!(clock.elapsed() < Duration::from_mins(1), "the disk stays in use");
            std::thread::yield_now();
        }
        // Sandboxes that are made elsewhere at this moment have a view of it too, and it is what it was until the last
        // of them has gone: mounted before, it would still be off.
        while self.is_held() {
            assert!(clock.elapsed() < Duration::from_mins(1), "the disk stays in use");
            std::thread::yield_now();
        }
        assert!(self.mount(), "its log is replayed");
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
    child.wait().expect("it can be waited for");
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
    for cut in 0..cuts {
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
    }
    eprintln!(
        "{}: {cuts} cuts, {acknowledged} results acknowledged before them, {lost} of these lost, {} stores unsound",
        make.display(),
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
