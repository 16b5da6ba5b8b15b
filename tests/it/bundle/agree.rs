//! Five unrelated verifiers judge the same bundles, good ones and bad ones of every kind, and must agree on each: ours; what
//! Debian ships; other makers' Python libraries; @sigstore/verify on Node; and one written from the specifications alone.
//! Leaves out limits, and what only a policy in KDL can say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use partita::bundle::{
    CycloneDx, Envelope, PAYLOAD_TYPE, Policy, PrivateKey, Profile, Role, Signer, VerifyOptions, builder_id, verify,
};
use partita::plan::Isolation;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Blobs, Made, Raw, key, pack, rich, spec_of, stranger, sums_of, tiny, unpack};
use super::tools::{Numbers, command, node_modules, random_spec, run, script, there};

const FILE: &str = "demo-1.0.0.zip";

/// A bundle in a folder, and what must be said of it.
struct Sample {
    name: String,
    made: Made,
    is_good: bool,
    /// The keys that are trusted, and how many must have signed.
    keys: Vec<PrivateKey>,
    threshold: usize,
    minimum: &'static str,
}

/// All samples.
#[derive(Default)]
struct Samples {
    all: Vec<Sample>,
}

impl Samples {
    fn add(&mut self, name: impl Into<String>, is_good: bool, made: Made) -> &mut Sample {
        let sample = Sample { name: name.into(), made, is_good, keys: vec![key()], threshold: 1, minimum: "1.0.0" };
        self.all.push(sample);
        self.all.last_mut().expect("one was added")
    }

    fn bad(&mut self, name: impl Into<String>, change: impl FnOnce(&Made)) -> &mut Sample {
        let made = Made::tiny();
        change(&made);
        self.add(name, false, made)
    }

    /// Bad although the trusted key signed these very bytes.
    fn hostile(&mut self, name: &str, change: impl FnOnce(&mut Vec<Raw>)) {
        self.bad(name, |made| {
            let mut entries = unpack(&std::fs::read(made.zip()).unwrap());
            change(&mut entries);
            let sums = sums_of(&entries);
            if let Some(entry) = entries.iter_mut().find(|entry| entry.name == b"META/SHA256SUMS") {
                entry.data.clone_from(&sums);
            }
            made.replace_archive(&pack(&entries, b""), &sums);
        });
    }

    /// An archive of other bytes, signed by the trusted key.
    fn signed(&mut self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        self.bad(name, |made| {
            let good = std::fs::read(made.zip()).unwrap();
            let sums = sums_of(&unpack(&good));
            made.replace_archive(&change(good), &sums);
        });
    }
}

fn good(samples: &mut Samples) {
    let cas = Blobs::default();
    let made = |spec: &_| Made::new(spec, &cas, &[&key()]);
    samples.add("tiny", true, Made::tiny());
    samples.add("rich", true, Made::rich());
    let mut numbers = Numbers(7);
    let mut trees = 0;
    while trees < 9 {
        let spec = random_spec(&cas, &mut numbers);
        if spec.check().is_ok() {
            trees += 1;
            samples.add(format!("tree-{trees}"), true, made(&spec));
        }
    }
    samples.add("empty-file", true, made(&spec_of(&cas, &[("empty", b"", false)])));
    samples.add(
        "programs",
        true,
        made(&spec_of(&cas, &[("bin/a", b"#!/bin/sh\n", true), ("bin/b", b"\x7fELF", true)])),
    );
    let long = "folder/".repeat(30) + "file";
    samples.add("long-name", true, made(&spec_of(&cas, &[(&long, b"x", false)])));
    let names: Vec<String> = (0..200).map(|at| format!("many/{at:03}.txt")).collect();
    let many: Vec<(&str, &[u8], bool)> = names.iter().map(|name| (name.as_str(), name.as_bytes(), false)).collect();
    samples.add("many", true, made(&spec_of(&cas, &many)));
    let mut profile = rich(&cas);
    profile.profile =
        Profile { level: Some(3), roles: [("bin/".to_owned(), Role::Report)].into(), cyclonedx: CycloneDx::V1_7 };
    samples.add("profile", true, made(&profile));
    profile.parameters = BTreeMap::from([("who".to_owned(), "na\u{ef}ve \u{1f600} \"q\" \\".to_owned())]);
    samples.add("parameters", true, made(&profile));
    let p256 = || PrivateKey::p256_from_scalar([9; 32]).unwrap();
    samples.add("p256", true, Made::new(&tiny(&cas), &cas, &[&p256()])).keys = vec![p256()];
    let two = samples.add("two-keys", true, Made::new(&tiny(&cas), &cas, &[&key(), &p256()]));
    (two.keys, two.threshold) = (vec![key(), p256()], 2);
    samples.add("a-stranger-too", true, Made::new(&tiny(&cas), &cas, &[&key(), &stranger()]));
    let more = Made::tiny();
    let mut statement = more.statements()[0].clone();
    statement["predicateType"] = json!("https://slsa.dev/verification_summary/v1");
    statement["predicate"] = json!({"verificationResult": "PASSED"});
    let payload = serde_json_canonicalizer::to_vec(&statement).unwrap();
    let line = Envelope::sign(PAYLOAD_TYPE, &payload, &[&key()]).unwrap().to_line();
    more.write_lines(&[more.lines(), vec![String::from_utf8(line).unwrap()]].concat());
    samples.add("a-fourth-attestation", true, more);
}

/// One byte of each part of the three files is another.
fn flips(samples: &mut Samples) {
    let made = Made::tiny();
    let zip = std::fs::read(made.zip()).unwrap();
    let find = |text: &[u8]| zip.windows(text.len()).position(|part| part == text).unwrap();
    let (local, central, end) = (find(b"out/a") - 30, find(b"PK\x01\x02"), find(b"PK\x05\x06"));
    let parts = [
        ("first-signature", 0),
        ("sums", find(b"  META/cyclonedx") - 3),
        ("cyclonedx", find(b"bomFormat")),
        ("manifest", find(b"planHash")),
        ("spdx", find(b"SPDXID")),
        ("local-version", local + 4),
        ("local-flags", local + 6),
        ("local-method", local + 8),
        ("local-time", local + 10),
        ("local-crc", local + 14),
        ("local-size", local + 22),
        ("local-name", local + 34),
        ("content", local + 35),
        ("central-made-by", central + 4),
        ("central-mode", central + 40),
        ("central-offset", central + 42),
        ("central-name", central + 50),
        ("end-count", end + 8),
        ("end-offset", end + 16),
        ("end-comment", end + 20),
    ];
    for (name, at) in parts {
        samples.bad(format!("flip-{name}"), |made| flip(made.zip(), at));
    }
    let in_text = |samples: &mut Samples, name: &str, sigstore: bool, marks: &'static [&'static str]| {
        samples.bad(format!("flip-{name}"), |made| {
            let path = if sigstore { &made.built.sigstore.path } else { &made.built.intoto.path };
            let text = std::fs::read_to_string(path).unwrap();
            let at = marks.iter().fold(0, |at, mark| at + text[at..].find(mark).unwrap() + mark.len());
            flip(path, at + 9);
        });
    };
    in_text(samples, "payload-1", false, &["\"payload\":\""]);
    in_text(samples, "payload-2", false, &["\n", "\"payload\":\""]);
    in_text(samples, "payload-3", false, &["\n", "\n", "\"payload\":\""]);
    in_text(samples, "sig-1", false, &["\"sig\":\""]);
    in_text(samples, "sig-3", false, &["\n", "\n", "\"sig\":\""]);
    in_text(samples, "keyid", false, &["\"keyid\":\""]);
    in_text(samples, "payload-type", false, &["\"payloadType\":\""]);
    in_text(samples, "sigstore-payload", true, &["\"payload\":\""]);
    in_text(samples, "sigstore-sig", true, &["\"sig\":\""]);
    in_text(samples, "sigstore-hint", true, &["\"hint\":\""]);
    in_text(samples, "sigstore-media-type", true, &["\"mediaType\":\""]);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn add(entries: &mut Vec<Raw>, name: &str, data: &[u8]) {
    entries.push(Raw::new(name, data));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Archives that only a strict reader refuses.
fn archives(samples: &mut Samples) {
    for (what, name) in [
        ("slip", "out/../../evil"),
        ("backslash", "out/..\\evil"),
        ("absolute", "/etc/evil"),
        ("twice", "out/a"),
        ("case", "out/A"),
        ("nfd", "out/e\u{301}"),
        ("device", "out/nul"),
        ("stream", "out/b:c"),
        ("stray", "META/evil"),
    ] {
        samples.hostile(&format!("name-{what}"), |entries| add(entries, name, b"evil"));
    }
    for (what, mode) in [("link", 0o120_777), ("setuid", 0o104_755), ("private", 0o100_600), ("writable", 0o100_777)] {
        samples.hostile(&format!("mode-{what}"), |entries| entries.last_mut().unwrap().mode = mode);
    }
    let last = |samples: &mut Samples, name: &str, change: fn(&mut Raw)| {
        samples.hostile(name, |entries| change(entries.last_mut().unwrap()));
    };
    samples.hostile("unsorted", |entries| entries.swap(1, 2));
    last(samples, "extra-field", |entry| entry.extra = b"\x55\x54\x05\0\x01\0\0\0\0".to_vec());
    last(samples, "deflate", |entry| entry.method = 8);
    last(samples, "date", |entry| entry.date = 34);
    last(samples, "crc", |entry| entry.crc = Some(1));
    last(samples, "size", |entry| entry.size = Some(1));
    last(samples, "names-differ", |entry| entry.central_name = Some(b"out/b".to_vec()));
    samples.hostile("hidden", |entries| {
        add(entries, "out/hidden", b"evil");
        entries.last_mut().unwrap().hidden = true;
    });
    samples.hostile("overlapping", |entries| {
        add(entries, "out/b", b"hi");
        entries.last_mut().unwrap().overlaps = true;
    });
    samples.hostile("no-manifest", |entries| drop(entries.remove(2)));
    samples.signed("comment", |good| pack(&unpack(&good), b"hello"));
    samples.signed("prefix", |good| [b"#!/bin/sh\n", &good[..]].concat());
    samples.signed("trailing", |good| [&good[..], b"\0"].concat());
    samples.signed("doubled", |good| [&good[..], &good[..]].concat());
    samples.signed("cut", |good| good[..good.len() - 1].to_vec());
}

/// Documents that lie although everything around them fits.
fn documents(samples: &mut Samples) {
    let tampered = |samples: &mut Samples, name: &str, file: &'static str, pointer: &'static str, value: Value| {
        samples.hostile(name, |entries| {
            let entry = entries.iter_mut().find(|entry| entry.name == file.as_bytes()).unwrap();
            let mut document: Value = serde_json::from_slice(&entry.data).unwrap();
            *document.pointer_mut(pointer).unwrap() = value;
            entry.data = serde_json_canonicalizer::to_vec(&document).unwrap();
        });
    };
    tampered(samples, "manifest-version", "META/manifest.json", "/version", json!("9.9.9"));
    tampered(samples, "manifest-tenant", "META/manifest.json", "/tenant", json!("other"));
    tampered(samples, "manifest-digest", "META/manifest.json", "/files/0/sha256", json!("00"));
    tampered(samples, "manifest-root", "META/manifest.json", concat!("/ro", "ot/dirHash1"), json!("00"));
    tampered(samples, "spdx-supplier", "META/spdx.json", "/packages/0/supplier", json!("Organization: other"));
    tampered(samples, "cyclonedx-name", "META/cyclonedx.json", "/components/0/name", json!("out/b"));
    samples.hostile("other-content", |entries| entries.last_mut().unwrap().data = b"ho".to_vec());
    samples.hostile("unlisted-file", |entries| add(entries, "out/b", b"more"));
    for (name, change) in [
        ("sums-short", (|sums: &[u8]| sums[..sums.len() - 73].to_vec()) as fn(&[u8]) -> Vec<u8>),
        ("sums-blank", |sums| [sums, b"\n"].concat()),
    ] {
        samples.bad(name, |made| {
            let mut entries = unpack(&std::fs::read(made.zip()).unwrap());
            let sums = change(&sums_of(&entries));
            entries[0].data.clone_from(&sums);
            made.replace_archive(&pack(&entries, b""), &sums);
        });
    }
}

/// Envelopes and statements.
fn envelopes(samples: &mut Samples) {
    samples.bad("without-spdx", |made| made.write_lines(&[made.lines()[0].clone(), made.lines()[2].clone()]));
    samples.bad("without-cyclonedx", |made| made.write_lines(&made.lines()[..2]));
    samples.bad("without-the-last-end", |made| {
        let text = std::fs::read(&made.built.intoto.path).unwrap();
        std::fs::write(&made.built.intoto.path, &text[..text.len() - 1]).unwrap();
    });
    samples.bad("another-key", |made| made.resign(&made.statements(), &[&stranger()]));
    let first = |samples: &mut Samples, name: &str, change: &dyn Fn(&mut Value)| {
        samples.bad(name, |made| {
            let lines = made.lines();
            let mut envelope: Value = serde_json::from_str(&lines[0]).unwrap();
            change(&mut envelope);
            let line = String::from_utf8(serde_json_canonicalizer::to_vec(&envelope).unwrap()).unwrap();
            made.write_lines(&[line.clone(), lines[1].clone(), lines[2].clone()]);
            made.write_sigstore(&line);
        });
    };
    let payload = |envelope: &Value| BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    first(samples, "another-key-under-the-same-id", &|envelope| {
        let made = Envelope::sign(PAYLOAD_TYPE, &payload(envelope), &[&stranger()]).unwrap();
        let forged: Value = serde_json::from_slice(&made.to_line()).unwrap();
        envelope["signatures"][0]["sig"] = forged["signatures"][0]["sig"].clone();
    });
    first(samples, "another-protocol", &|envelope| {
        let made = Envelope::sign("application/jwt", &payload(envelope), &[&key()]).unwrap();
        *envelope = serde_json::from_slice(&made.to_line()).unwrap();
    });
    first(samples, "an-edited-payload", &|envelope| {
        let text = String::from_utf8(payload(envelope)).unwrap().replace("\"acme\"", "\"evil\"");
        envelope["payload"] = json!(BASE64.encode(text.as_bytes()));
    });
    first(samples, "no-signature", &|envelope| envelope["signatures"][0]["sig"] = json!(""));
    first(samples, "signed-without-the-encoding", &|envelope| {
        envelope["signatures"][0]["sig"] = json!(BASE64.encode(&key().sign(&payload(envelope)).unwrap()));
    });
    // S + L instead of S: the same equation, another signature.
    first(samples, "malleable", &|envelope| {
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let order = data_encoding::HEXLOWER.decode(order.as_bytes()).unwrap();
        let mut sig = BASE64.decode(envelope["signatures"][0]["sig"].as_str().unwrap().as_bytes()).unwrap();
        let mut carry = 0;
        for (byte, more) in sig[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        envelope["signatures"][0]["sig"] = json!(BASE64.encode(&sig));
    });
    first(samples, "one-signature-twice", &|envelope| {
        let again = envelope["signatures"][0].clone();
        envelope["signatures"].as_array_mut().unwrap().push(again);
    });
    let alone = samples.bad("one-of-two-keys", |_| ());
    (alone.keys, alone.threshold) = (vec![key(), stranger()], 2);
    let statements = |samples: &mut Samples, name: &str, change: &dyn Fn(&mut Value)| {
        samples.bad(name, |made| {
            let mut all = made.statements();
            all.iter_mut().for_each(change);
            made.resign(&all, &[&key()]);
        });
    };
    statements(samples, "another-archive", &|s| s["subject"][0]["digest"]["sha256"] = json!("00".repeat(32)));
    statements(samples, "another-list", &|s| s["subject"][1]["digest"]["sha256"] = json!("00".repeat(32)));
    statements(samples, "another-name", &|s| s["subject"][0]["name"] = json!("other.zip"));
    statements(samples, "another-version-of-statements", &|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"));
    let provenance = |samples: &mut Samples, name: &str, pointer: &str, value: &Value| {
        samples.bad(name, |made| {
            let mut all = made.statements();
            *all[0].pointer_mut(pointer).unwrap() = value.clone();
            made.resign(&all, &[&key()]);
        });
    };
    let outside = "/predicate/buildDefinition/externalParameters";
    provenance(samples, "another-tenant", &format!("{outside}/tenant"), &json!("other"));
    provenance(samples, "another-version", &format!("{outside}/bundle/version"), &json!("2.0.0"));
    let weak = json!(builder_id(Isolation::None));
    provenance(samples, "a-weaker-builder", "/predicate/runDetails/builder/id", &weak);
    for (name, change) in [
        (
            "a-key-twice",
            (|text: &str| text.replacen('{', "{\"_type\":\"https://in-toto.io/Statement/v1\",", 1))
                as fn(&str) -> String,
        ),
        ("a-blank", |text| text.replacen(':', ": ", 1)),
        ("an-escape", |text| text.replacen("acme", "\\u0061cme", 1)),
    ] {
        samples.bad(format!("payload-with-{name}"), |made| {
            let bytes = |value: &Value| serde_json_canonicalizer::to_vec(value).unwrap();
            let mut payloads: Vec<Vec<u8>> = made.statements().iter().map(bytes).collect();
            payloads[0] = change(std::str::from_utf8(&payloads[0]).unwrap()).into_bytes();
            made.resign_bytes(&payloads, &[&key()]);
        });
    }
    samples.bad("too-old", |_| ()).minimum = "1.0.1";
}

/// What a verifier printed, by sample.
fn verdicts(output: &std::process::Output) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, said)| (name.to_owned(), said.to_owned()))
        .collect()
}

fn ours(samples: &Samples) -> BTreeMap<String, String> {
    let judge = |sample: &Sample| {
        let keys = sample.keys.iter().enumerate().map(|(at, key)| (format!("k{at}"), key.public())).collect();
        let mut policy = Policy::trusting_all(keys, "acme", sample.threshold);
        let tenant = policy.tenants.get_mut("acme").unwrap();
        *tenant = std::mem::take(tenant).minimum("demo", sample.minimum, None);
        tenant.requires[0].builders = vec![builder_id(Isolation::Full).to_owned()];
        let verdict = verify(sample.made.zip(), &policy, &VerifyOptions::new("acme")).unwrap();
        let first = verdict.refusals().next().map(|(_, refusal)| format!("refused: {refusal}"));
        first.unwrap_or_else(|| "accepted".to_owned())
    };
    samples.all.iter().map(|sample| (sample.name.clone(), judge(sample))).collect()
}

/// Writes all samples into one folder, with the list that verifiers read, and its two halves.
fn written(samples: &Samples) -> (TempDir, [PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let mut list = Vec::new();
    for sample in &samples.all {
        let folder = dir.path().join(&sample.name);
        std::fs::create_dir(&folder).unwrap();
        for suffix in ["", ".intoto.jsonl", ".sigstore.json"] {
            let from = sample.made.dir.path().join(format!("{FILE}{suffix}"));
            std::fs::copy(from, folder.join(format!("{FILE}{suffix}"))).unwrap();
        }
        let keys: Vec<PathBuf> = (0..sample.keys.len()).map(|at| folder.join(format!("k{at}.pub.pem"))).collect();
        for (path, key) in keys.iter().zip(&sample.keys) {
            std::fs::write(path, key.public().to_pem()).unwrap();
        }
        list.push(json!({
            "dir": sample.name, "file": FILE, "keys": keys, "threshold": sample.threshold, "tenant": "acme",
            "minimum": sample.minimum, "builder": builder_id(Isolation::Full),
        }));
    }
    let lists = [("all", &list[..]), ("first", &list[..list.len() / 2]), ("second", &list[list.len() / 2..])];
    let paths = lists.map(|(name, list)| {
        let path = dir.path().join(format!("{name}.json"));
        std::fs::write(&path, serde_json::to_vec(list).unwrap()).unwrap();
        path
    });
    (dir, paths)
}

#[test]
fn five_verifiers_agree_on_every_sample() {
    let mut samples = Samples::default();
    good(&mut samples);
    let first_bad = samples.all.len();
    flips(&mut samples);
    archives(&mut samples);
    documents(&mut samples);
    envelopes(&mut samples);
    assert!(first_bad >= 20 && samples.all.len() - first_bad >= 60, "{first_bad} good ones, {}", samples.all.len());
    let (_dir, lists) = written(&samples);
    let [list, first, second] = &lists;

    let is_there = |name: &&str| there(name, &["bash", "-c", &format!("command -v {name}")]);
    let with = |program: &str, name: &str, list: &Path| verdicts(&run(command(program).arg(script(name)).arg(list)));
    let mut all = vec![("ours", ours(&samples))];
    if there("python3", &["python3", "--version"]) {
        all.push(("from the specifications", with("python3", "from_rfcs.py", list)));
    }
    if ["bash", "openssl", "jq", "unzip"].iter().all(is_there) {
        // Programs that start a hundred times for each sample: in two lanes.
        let said = std::thread::scope(|scope| {
            let lane = scope.spawn(|| with("bash", "stock.sh", second));
            let mut said = with("bash", "stock.sh", first);
            said.extend(lane.join().expect("it ends as the other one does"));
            said
        });
        all.push(("what Debian ships", said));
    }
    let packages = "import rfc8785, cryptography, in_toto_attestation, securesystemslib";
    if there("python3 with the packages of requirements.txt", &["python3", "-c", packages]) {
        all.push(("Python's libraries", with("python3", "libraries.py", list)));
    }
    if let Some(modules) = node_modules() {
        let mut node = command("node");
        node.env("PARTITA_NODE_MODULES", modules).arg(script("verify.mjs")).arg(list);
        all.push(("@sigstore/verify", verdicts(&run(&mut node))));
    }
    let mut wrong = Vec::new();
    for sample in &samples.all {
        for (who, said) in &all {
            let said = said.get(&sample.name).map_or("nothing", String::as_str);
            if (said == "accepted") != sample.is_good || !said.starts_with("accepted") && !said.starts_with("refused") {
                let due = if sample.is_good { "accepted" } else { "refused" };
                wrong.push(format!("{}: {due} was due; {who}: {said}", sample.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} disagreements among {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
