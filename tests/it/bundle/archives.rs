//! Hostile archives: each is signed by the trusted key over its very bytes, so that nothing but the
//! strict reader and the checks of the contents can refuse it. Leaves out signatures and policy.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use partita::bundle::{CheckName, Code, Status, VerifyOptions, verify, verify_extracted};
use serde_json::{Value, json};

use super::support::{Made, Raw, pack, sha256, sums_of, trusting, unpack};

/// Changes the entries of a good archive, keeps its list of checksums right, signs, and tells how the
/// checks of the contents ended.
fn refused(change: impl FnOnce(&mut Vec<Raw>)) -> Vec<(&'static str, Code)> {
    let made = Made::tiny();
    let mut entries = unpack(&std::fs::read(made.zip()).unwrap());
    change(&mut entries);
    let sums = sums_of(&entries);
    if let Some(entry) = entries.iter_mut().find(|entry| entry.name == b"META/SHA256SUMS") {
        entry.data.clone_from(&sums);
    }
    signed(&made, &pack(&entries, b""), &sums)
}

/// Signs an archive and tells what was refused. The signatures and the digest must have passed.
fn signed(made: &Made, zip: &[u8], sums: &[u8]) -> Vec<(&'static str, Code)> {
    made.replace_archive(zip, sums);
    let verdict = made.verify();
    assert!(matches!(verdict.status(CheckName::Archive), Status::Passed(_)), "{:?}", verdict.checks);
    verdict.refusals().map(|(name, refusal)| (name.word(), refusal.code)).collect()
}

fn add(entries: &mut Vec<Raw>, name: &str, data: &[u8]) {
    entries.push(Raw::new(name, data));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
}

const NAME: [(&str, Code); 1] = [("layout", Code::B0603)];
const LAYOUT: [(&str, Code); 1] = [("layout", Code::B0602)];

#[test]
fn an_unchanged_archive_passes_the_harness() {
    let made = Made::tiny();
    let zip = std::fs::read(made.zip()).unwrap();
    let entries = unpack(&zip);
    assert_eq!(signed(&made, &zip, &sums_of(&entries)), []);
}

#[test]
fn names_that_leave_or_confuse() {
    for name in [
        "../evil",
        "out/../../evil",
        "out\\..\\evil",
        "/etc/evil",
        "out/nul",
        "out/a:b",
        "out/e\u{301}",
        "out/A",
        "out/a/b",
        "out/x\0y",
        "out/dir/",
        "evil",
        "META/evil",
        "META/SHA256SUMS/x",
    ] {
        assert_eq!(refused(|entries| add(entries, name, b"evil")), NAME, "{name:?}");
    }
    assert_eq!(refused(|entries| add(entries, "out/a", b"twice")), NAME);
    // Two spellings of one name.
    let twins = |entries: &mut Vec<Raw>| {
        add(entries, "out/\u{e9}", b"1");
        add(entries, "out/e\u{301}", b"2");
    };
    assert_eq!(refused(twins), NAME);
    assert_eq!(refused(|entries| entries.last_mut().unwrap().name = b"out/\xff".to_vec()), NAME);
}

#[test]
fn links_and_modes() {
    for mode in [0o120_777, 0o104_755, 0o102_755, 0o101_644, 0o100_600, 0o100_777, 0o040_755, 0o020_666, 0] {
        assert_eq!(refused(|entries| entries.last_mut().unwrap().mode = mode), LAYOUT, "{mode:o}");
    }
    // A link out, and then a file through it.
    let through = |entries: &mut Vec<Raw>| {
        add(entries, "out/link", b"/tmp");
        entries.last_mut().unwrap().mode = 0o120_777;
        add(entries, "out/link/evil", b"evil");
    };
    assert_eq!(refused(through), NAME);
    assert_eq!(refused(|entries| entries[0].mode = 0o100_755), LAYOUT);
}

#[test]
fn layouts_that_are_not_canonical() {
    let last = |change: fn(&mut Raw)| refused(|entries| change(entries.last_mut().unwrap()));
    assert_eq!(refused(|entries| entries.swap(1, 2)), LAYOUT, "unsorted");
    assert_eq!(last(|entry| entry.extra = b"\x55\x54\x05\0\x01\0\0\0\0".to_vec()), LAYOUT, "extra field");
    assert_eq!(last(|entry| entry.extra = [&b"\x01\0\x10\0"[..], &[0; 16]].concat()), LAYOUT, "needless zip64");
    assert_eq!(last(|entry| entry.central_name = Some(b"out/b".to_vec())), LAYOUT, "names differ");
    assert_eq!(last(|entry| entry.method = 8), LAYOUT, "deflate");
    assert_eq!(last(|entry| entry.method = 93), LAYOUT, "zstd");
    assert_eq!(last(|entry| entry.flags = 8), LAYOUT, "data descriptor");
    assert_eq!(last(|entry| entry.flags = 1), LAYOUT, "encrypted");
    assert_eq!(last(|entry| entry.flags = 0x800), LAYOUT, "needless UTF-8 flag");
    assert_eq!(last(|entry| entry.date = 34), LAYOUT, "time");
    assert_eq!(last(|entry| entry.crc = Some(1)), LAYOUT, "checksum");
    assert_eq!(last(|entry| entry.size = Some(1)), LAYOUT, "smaller than it is");
    assert_eq!(last(|entry| entry.size = Some(u32::MAX)), LAYOUT, "larger than it is");
    let hidden = |entries: &mut Vec<Raw>| {
        add(entries, "out/hidden", b"evil");
        entries.last_mut().unwrap().hidden = true;
    };
    assert_eq!(refused(hidden), LAYOUT, "hidden entry");
    let overlapping = |entries: &mut Vec<Raw>| {
        add(entries, "out/b", b"hi");
        entries.last_mut().unwrap().overlaps = true;
    };
    assert_eq!(refused(overlapping), LAYOUT, "overlapping entries");
    assert_eq!(refused(Vec::clear), LAYOUT, "nothing");
    assert_eq!(refused(|entries| drop(entries.remove(2))), LAYOUT, "no manifest");
}

#[test]
fn bytes_around_the_archive() {
    let made = Made::tiny();
    let good = std::fs::read(made.zip()).unwrap();
    let entries = unpack(&good);
    let sums = sums_of(&entries);
    let mut long = entries.clone();
    long.last_mut().unwrap().data = vec![0; 300_000];
    long.last_mut().unwrap().method = 8;
    for (what, zip) in [
        ("comment", pack(&entries, b"hello")),
        ("prefix", [b"#!/bin/sh\n", &good[..]].concat()),
        ("trailing", [&good[..], b"\0"].concat()),
        ("twice", [&good[..], &good[..]].concat()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("empty", Vec::new()),
        ("bomb", pack(&long, b"")),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00".to_vec()),
        ("text", b"not a zip".to_vec()),
    ] {
        assert_eq!(signed(&made, &zip, &sums), LAYOUT, "{what}");
    }
}

#[test]
fn limits_hold() {
    let made = Made::rich();
    let refused = |change: fn(&mut VerifyOptions)| {
        let mut options = VerifyOptions::new("acme");
        change(&mut options);
        let verdict = verify(made.zip(), &trusting(), &options).unwrap();
        verdict.refusals().map(|(name, refusal)| (name.word(), refusal.code)).collect::<Vec<_>>()
    };
    assert_eq!(refused(|options| options.limits.entries = 7), [("layout", Code::B0604)]);
    assert_eq!(refused(|options| options.limits.name_bytes = 50), [("layout", Code::B0604)]);
    assert_eq!(refused(|options| options.limits.document_bytes = 500), [("layout", Code::B0604)]);
    assert_eq!(refused(|options| options.limits.envelopes = 2), [("envelopes", Code::B0401)]);
    assert_eq!(refused(|options| options.limits.envelope_bytes = 2_000), [("envelopes", Code::B0401)]);
    assert_eq!(refused(|options| options.limits.entries = 8), []);
}

/// Changes a document of `META/` without breaking its canonical form, and signs.
fn tampered(name: &str, change: impl FnOnce(&mut Value)) -> Vec<(&'static str, Code)> {
    refused(|entries| {
        let entry = entries.iter_mut().find(|entry| entry.name == name.as_bytes()).unwrap();
        let mut document: Value = serde_json::from_slice(&entry.data).unwrap();
        change(&mut document);
        entry.data = serde_json_canonicalizer::to_vec(&document).unwrap();
    })
}

#[test]
fn documents_that_lie() {
    let manifest = [("manifest", Code::B0702)];
    for (field, value) in [
        ("version", json!("9.9.9")),
        ("tenant", json!("other")),
        ("graph", json!("other")),
        ("planHash", json!("00")),
        ("schema", json!("other")),
        ("more", json!(1)),
        ("files", json!([])),
        ("root", json!({"dirHash1": "00"})),
    ] {
        assert_eq!(tampered("META/manifest.json", |document| document[field] = value), manifest, "{field}");
    }
    for (pointer, value) in
        [("/files/0/sha256", json!("00")), ("/files/0/mode", json!("0755")), ("/files/0/size", json!(3))]
    {
        let change = |document: &mut Value| *document.pointer_mut(pointer).unwrap() = value;
        assert_eq!(tampered("META/manifest.json", change), manifest, "{pointer}");
    }
    for pointer in ["/packages/0/name", "/files/0/fileName", "/creationInfo/created", "/documentNamespace"] {
        let change = |document: &mut Value| *document.pointer_mut(pointer).unwrap() = json!("other");
        assert_eq!(tampered("META/spdx.json", change), [("spdx", Code::B0703)], "{pointer}");
    }
    for pointer in ["/metadata/component/version", "/components/0/name", "/serialNumber", "/specVersion"] {
        let change = |document: &mut Value| *document.pointer_mut(pointer).unwrap() = json!("other");
        assert_eq!(tampered("META/cyclonedx.json", change), [("cyclonedx", Code::B0704)], "{pointer}");
    }
    // Other content under the same documents.
    let other = refused(|entries| entries.last_mut().unwrap().data = b"ho".to_vec());
    assert_eq!(other, [("manifest", Code::B0702), ("spdx", Code::B0703), ("cyclonedx", Code::B0704)]);
    // A file that no document names, and a blank that no document needs.
    let more = refused(|entries| add(entries, "out/b", b"more"));
    assert_eq!(more, other);
    let blank = refused(|entries| entries[2].data.push(b'\n'));
    assert_eq!(blank, manifest);
}

#[test]
fn a_document_that_lies_consistently_is_still_not_the_signed_attestation() {
    // Both the document and its identity are changed, so that only the attestation can tell.
    let made = Made::tiny();
    let mut statements = made.statements();
    let zip = std::fs::read(made.zip()).unwrap();
    statements[1]["predicate"]["packages"][0]["supplier"] = json!("Organization: other");
    statements[2]["predicate"]["metadata"]["supplier"]["name"] = json!("other");
    made.resign(&statements, &[&super::support::key()]);
    let refused: Vec<_> = made.verify().refusals().map(|(_, refusal)| refusal.code).collect();
    assert_eq!(refused, [Code::B0703, Code::B0704]);
    assert_eq!(std::fs::read(made.zip()).unwrap(), zip);
}

#[test]
fn lists_of_checksums_that_lie() {
    let made = Made::tiny();
    let good = unpack(&std::fs::read(made.zip()).unwrap());
    let with = |sums: &[u8], claimed: &[u8]| {
        let mut entries = good.clone();
        entries[0].data = sums.to_vec();
        signed(&made, &pack(&entries, b""), claimed)
    };
    let sums = sums_of(&good);
    let refused = [("sums", Code::B0701)];
    assert_eq!(with(&sums, &sums), []);
    assert_eq!(with(&sums, b"another"), refused);
    let short = &sums[..sums.len() - 73];
    assert_eq!(with(short, short), refused);
    let longer = [&sums[..], sha256(b"").as_bytes(), b"  out/zz\n"].concat();
    assert_eq!(with(&longer, &longer), refused);
    let binary = String::from_utf8(sums).unwrap().replacen("  ", " *", 1);
    assert_eq!(with(binary.as_bytes(), binary.as_bytes()), refused);
}

#[test]
fn a_flipped_archive_is_refused_by_digest_and_by_layout() {
    let made = Made::tiny();
    let mut zip = std::fs::read(made.zip()).unwrap();
    zip[40] ^= 1;
    std::fs::write(made.zip(), zip).unwrap();
    let refused: Vec<_> = made.verify().refusals().map(|(_, refusal)| refusal.code).collect();
    assert_eq!(refused, [Code::B0601, Code::B0603]);
}

/// Extracts an archive of ours below a folder.
fn extract(made: &Made, folder: &Path) {
    for entry in unpack(&std::fs::read(made.zip()).unwrap()) {
        let path = folder.join(String::from_utf8(entry.name).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, entry.data).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(entry.mode & 0o777)).unwrap();
    }
}

#[test]
fn extracted_folders_hold_exactly_what_was_signed() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &[Code]); 9] = [
        ("nothing", |_| (), &[]),
        (
            "extra file",
            |at| std::fs::write(at.join("out/new"), b"").unwrap(),
            &[Code::B0701, Code::B0702, Code::B0703, Code::B0704],
        ),
        ("extra at the top", |at| std::fs::write(at.join("new"), b"").unwrap(), &[Code::B0705]),
        ("empty folder", |at| std::fs::create_dir(at.join("out/new")).unwrap(), &[Code::B0705]),
        ("link", |at| std::os::unix::fs::symlink("bin/demo", at.join("out/new")).unwrap(), &[Code::B0705]),
        (
            "missing",
            |at| std::fs::remove_dir_all(at.join("out/bin")).unwrap(),
            &[Code::B0701, Code::B0702, Code::B0703, Code::B0704],
        ),
        ("no list", |at| std::fs::remove_file(at.join("META/SHA256SUMS")).unwrap(), &[Code::B0705]),
        (
            "changed",
            |at| std::fs::write(at.join("out/data/empty"), b"x").unwrap(),
            &[Code::B0701, Code::B0702, Code::B0703, Code::B0704],
        ),
        (
            "mode",
            |at| std::fs::set_permissions(at.join("out/bin/demo"), std::fs::Permissions::from_mode(0o644)).unwrap(),
            &[Code::B0702],
        ),
    ];
    let made = Made::rich();
    for (what, change, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        extract(&made, folder.path());
        change(folder.path());
        let verdict = verify_extracted(folder.path(), made.zip(), &trusting(), &VerifyOptions::new("acme")).unwrap();
        let refused: Vec<_> = verdict.refusals().map(|(_, refusal)| refusal.code).collect();
        assert_eq!(refused, expected, "{what}");
        assert_eq!(verdict.accepted(), expected.is_empty());
    }
}

#[test]
fn files_of_any_size_and_kind_get_an_answer() {
    // A file may claim any size without taking any room: it is not read to its end.
    let huge = |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_len(1 << 42).unwrap();
    let made = Made::tiny();
    let folder = tempfile::tempdir().unwrap();
    extract(&made, folder.path());
    huge(&folder.path().join("out/a"));
    let options = VerifyOptions::new("acme");
    let verdict = verify_extracted(folder.path(), made.zip(), &trusting(), &options).unwrap();
    assert_eq!(verdict.refusals().map(|(_, refusal)| refusal.code).collect::<Vec<_>>(), [Code::B0705]);
    huge(made.zip());
    let verdict = made.verify();
    assert_eq!(verdict.refusals().map(|(_, refusal)| refusal.code).collect::<Vec<_>>(), [Code::B0601]);
    huge(&made.built.intoto.path);
    assert_eq!(made.verify().refusals().next().unwrap().1.code, Code::B0401);
    // Nobody waits for a writer that may never come.
    let made = Made::tiny();
    std::fs::remove_file(made.zip()).unwrap();
    let pipe = super::tools::command("mkfifo").arg(made.zip()).status();
    if pipe.is_ok_and(|status| status.success()) {
        assert_eq!(verify(made.zip(), &trusting(), &options).unwrap_err().code(), Code::B0302);
    }
}
