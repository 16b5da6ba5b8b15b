//! Other people's tools on our bundles, with no code of ours between: openssl, jq, coreutils, unzip,
//! 7z, bsdtar, Python and its validators. Where a tool is missing the test says so and passes, unless
//! `PARTITA_TEST_TOOLS=1` says that all must be there. Leaves out tools that need a network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use partita::base::{EnvVar, Environment};
use partita::bundle::{Algorithm, BundleSpec, Code, PrivateKey, PublicKey, build_archive, generate_key};

use super::support::{Blobs, Made, key, rich, spec_of};

const NODE_MODULES: EnvVar =
    EnvVar { name: "PARTITA_NODE_MODULES", doc: "where the packages of tests/it/bundle_tools/package.json are" };
const STRICT: EnvVar = EnvVar { name: "PARTITA_TEST_TOOLS", doc: "1: a missing tool fails its test" };

#[expect(clippy::disallowed_methods, reason = "a test of other people's programs starts them itself")]
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn skipped(what: &str) {
    eprintln!("skipped: {what} is missing on this machine");
}

fn is_strict() -> bool {
    Environment::of_process().get(STRICT).is_some_and(|value| value == "1")
}

/// Whether a program that `probe` runs is there. If it is not, the test is skipped or fails.
pub(super) fn there(what: &str, probe: &[&str]) -> bool {
    let found = command(probe[0]).args(&probe[1..]).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(!is_strict(), "{what} is missing, and {}=1 says that it must be there", STRICT.name);
        skipped(what);
    }
    found
}

fn all_there(programs: &[&str]) -> bool {
    programs.iter().all(|name| there(name, &["sh", "-c", &format!("command -v {name}")]))
}

pub(super) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} failed\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bundle_tools").join(name)
}

/// The folder of the packages that `package.json` names, where they are installed.
pub(super) fn node_modules() -> Option<PathBuf> {
    let folder = Environment::of_process().get(NODE_MODULES).map(PathBuf::from).unwrap_or_default();
    let found = folder.join("@sigstore/verify").is_dir() && there("node", &["node", "--version"]);
    if !found {
        assert!(
            !is_strict(),
            "the packages of package.json are missing, and {}=1 says that they must be there",
            STRICT.name
        );
        skipped("node with the packages of package.json");
    }
    found.then_some(folder)
}

/// The public key of the tests beside a bundle.
fn public_key(made: &Made) -> PathBuf {
    let path = made.dir.path().join("k.pub.pem");
    std::fs::write(&path, key().public().to_pem()).unwrap();
    path
}

#[test]
fn what_debian_ships_verifies_a_bundle() {
    if !all_there(&["bash", "openssl", "jq", "unzip", "sha256sum", "xargs", "base64"]) {
        return;
    }
    // Debian 12 calls the one of its package `7zip` by another name.
    let seven = if command("7zz").output().is_ok() { "7zz" } else { "7z" };
    let readers: Vec<&str> = [seven, "bsdtar", "python3"].into_iter().filter(|name| all_there(&[name])).collect();
    let made = Made::rich();
    let public = public_key(&made);
    let check = |public: &Path, work: &str| {
        let mut check = command("bash");
        check.arg(script("check.sh")).arg(made.zip()).arg(public).arg(made.dir.path().join(work)).args(&readers);
        check
    };
    run(&mut check(&public, "good"));
    // And it does not verify just anything.
    let other = made.dir.path().join("other.pem");
    std::fs::write(&other, PrivateKey::from_seed([1; 32]).public().to_pem()).unwrap();
    assert!(!check(&other, "key").output().unwrap().status.success());
    let good = std::fs::read(made.zip()).unwrap();
    std::fs::write(made.zip(), [&good[..], b"\n"].concat()).unwrap();
    assert!(!check(&public, "appended").output().unwrap().status.success());
}

/// A small generator (SplitMix64), so that the trees are the same on every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

pub(super) fn random_spec(cas: &Blobs, numbers: &mut Numbers) -> BundleSpec {
    let letters = ["a", "b", "\u{e9}", "\u{4e2d}", " x", "-", "_", "0", "\u{1f600}", "z.txt"];
    let word = |numbers: &mut Numbers| {
        (0..=numbers.below(3)).map(|_| letters[numbers.below(letters.len() as u64) as usize]).collect::<String>()
    };
    let mut files = Vec::new();
    for _ in 0..=numbers.below(8) {
        let depth = 1 + numbers.below(3);
        let path = (0..depth).map(|_| word(numbers)).collect::<Vec<_>>().join("/");
        let bytes: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.below(256) as u8).collect();
        files.push((path, bytes, numbers.below(2) == 1));
    }
    let files: Vec<(&str, &[u8], bool)> =
        files.iter().map(|(path, bytes, exec)| (path.as_str(), &bytes[..], *exec)).collect();
    spec_of(cas, &files)
}

/// How many trees two encoders are asked for.
const TREES: u64 = 10_000;

#[test]
fn python_encodes_ten_thousand_random_trees_to_the_same_bytes() {
    if !all_there(&["python3"]) {
        return;
    }
    // Where there is a file system in memory: what is made durable here needs to survive nothing.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let lane = |lane: u64, count: u64| {
        let folder = dir.path().join(lane.to_string());
        let cas = Blobs::default();
        let mut numbers = Numbers(lane);
        let mut made = 0;
        while made < count {
            let spec = random_spec(&cas, &mut numbers);
            match build_archive(&BundleSpec { version: made.to_string(), ..spec }, &cas, &folder) {
                Ok(_) => made += 1,
                // A name that is a file here and a folder there.
                Err(error) => assert_eq!(error.code(), Code::B0104, "{error}"),
            }
        }
        let output = run(command("python3").arg(script("reencode.py")).arg(&folder));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{count} archives agree"));
    };
    std::thread::scope(|scope| {
        for at in 1..=2 {
            scope.spawn(move || lane(at, TREES / 2));
        }
    });
}

#[test]
fn validators_accept_envelopes_and_documents() {
    let packages = "import rfc8785, cryptography, cyclonedx.validation.json, in_toto_attestation, \
                    ntia_conformance_checker, securesystemslib, spdx_tools";
    if !there("python3 with the packages of requirements.txt", &["python3", "-c", packages]) {
        return;
    }
    let made = Made::rich();
    run(command("python3").arg(script("validators.py")).arg(made.zip()).arg(public_key(&made)));
    let made = Made::tiny();
    run(command("python3").arg(script("validators.py")).arg(made.zip()).arg(public_key(&made)));
    // The second algorithm, and both at once.
    let second = PrivateKey::p256_from_scalar([9; 32]).unwrap();
    let cas = Blobs::default();
    let made = Made::new(&rich(&cas), &cas, &[&second]);
    let path = made.dir.path().join("p256.pem");
    std::fs::write(&path, second.public().to_pem()).unwrap();
    run(command("python3").arg(script("validators.py")).arg(made.zip()).arg(&path));
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    if !all_there(&["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let files = generate_key(dir.path(), "k", Algorithm::Ed25519, None).unwrap();
    let derived = run(command("openssl").args(["pkey", "-pubout", "-in"]).arg(&files.private));
    assert_eq!(derived.stdout, std::fs::read(&files.public).unwrap());
    // Encrypted by openssl, with both key derivations that it offers.
    for (name, how) in [("scrypt", &["-scrypt"][..]), ("pbkdf2", &["-v2prf", "hmacWithSHA256", "-iter", "10000"])] {
        let encrypted = path(name);
        let mut convert = command("openssl");
        convert.args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"]).args(how);
        run(convert.arg("-in").arg(&files.private).arg("-out").arg(&encrypted));
        let key = PrivateKey::from_pem_file(&encrypted, Some(b"x")).unwrap();
        assert_eq!(key.public(), files.key, "{name}");
        assert_eq!(PrivateKey::from_pem_file(&encrypted, None).unwrap_err().code(), Code::B0204);
        assert_eq!(PrivateKey::from_pem_file(&encrypted, Some(b"y")).unwrap_err().code(), Code::B0205);
    }
    // Made by openssl; and one of another algorithm.
    run(command("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(path("theirs")));
    run(command("chmod").arg("600").arg(path("theirs")));
    let theirs = PrivateKey::from_pem_file(&path("theirs"), None).unwrap();
    run(command("openssl").args(["pkey", "-pubout", "-in"]).arg(path("theirs")).arg("-out").arg(path("theirs.pub")));
    assert_eq!(PublicKey::from_pem_file(&path("theirs.pub")).unwrap(), theirs.public());
    run(command("openssl").args(["genpkey", "-algorithm", "x25519", "-out"]).arg(path("x25519")));
    run(command("chmod").arg("600").arg(path("x25519")));
    assert_eq!(PrivateKey::from_pem_file(&path("x25519"), None).unwrap_err().code(), Code::B0203);
    assert!(Made::new(&rich(&Blobs::default()), &filled(), &[&theirs]).built.files == 4);
}

/// A store that holds the contents of the rich sample.
fn filled() -> Blobs {
    let cas = Blobs::default();
    drop(rich(&cas));
    cas
}
