//! The bytes of a bundle: frozen digests, the same on every rebuild, none of them free. Leaves out who
//! is trusted.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use partita::bundle::{Code, Status, VerifyOptions, build, verify};

use super::support::{Blobs, Made, crc32, key, pack, rich, sha256, spec_of, stranger, tiny, trusting, unpack};

#[test]
fn digests_are_frozen() {
    let made = Made::tiny();
    let found = [&made.built.zip, &made.built.intoto, &made.built.sigstore].map(|file| file.sha256.as_str());
    assert_eq!(
        found,
        [
            "36e176b7ef70bdc2b8000d8c2e34b4c642d50f38614ce8d7fb646eb62103145a",
            "b46ec9911babd131ab1cd6417ee272557830132516ee49d03ff0fb309313bd16",
            "7f24ebf161f1df8e7b84681c74140a64ab8dbf9e48101946fd952903af68d78a",
        ],
        "the bytes of a bundle changed: that breaks every bundle signed before"
    );
}

#[test]
fn what_is_reported_is_what_is_there() {
    let made = Made::rich();
    for file in [&made.built.zip, &made.built.intoto, &made.built.sigstore] {
        let bytes = std::fs::read(&file.path).unwrap();
        assert_eq!((file.size, file.sha256.as_str()), (bytes.len() as u64, sha256(&bytes).as_str()));
        assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777 & !0o044, 0o600);
    }
    let names: Vec<String> = walkdir::WalkDir::new(made.dir.path())
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|item| item.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["demo-1.0.0.zip", "demo-1.0.0.zip.intoto.jsonl", "demo-1.0.0.zip.sigstore.json"]);
    assert_eq!(made.built.files, 4);
}

#[test]
fn a_rebuild_is_the_same_and_replaces() {
    let cas = Blobs::default();
    let spec = rich(&cas);
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let first = build(&spec, &cas, &[&key()], &dir.path().join("new")).unwrap();
    let before = [read(&first.zip.path), read(&first.intoto.path), read(&first.sigstore.path)];
    std::fs::write(&first.zip.path, b"old").unwrap();
    let second = build(&spec, &cas, &[&key()], &dir.path().join("new")).unwrap();
    assert_eq!(first, second);
    assert_eq!(before, [read(&second.zip.path), read(&second.intoto.path), read(&second.sigstore.path)]);
}

#[test]
fn a_second_encoder_agrees() {
    let made = Made::rich();
    let zip = std::fs::read(made.zip()).unwrap();
    let entries = unpack(&zip);
    assert_eq!(pack(&entries, b""), zip);
    assert_eq!(entries.len(), 8);
    assert!(
        entries
            .iter()
            .map(|entry| entry.mode)
            .eq([0o100_644; 4].into_iter().chain([0o100_755, 0o100_644, 0o100_644, 0o100_644]))
    );
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn what_cannot_be_bundled_is_refused_before_anything_is_written() {
    let cas = Blobs::default();
    let out = tempfile::tempdir().unwrap();
    let code = |spec: &partita::bundle::BundleSpec| {
        let code = build(spec, &cas, &[&key()], out.path()).unwrap_err().code();
        assert_eq!(walkdir::WalkDir::new(out.path()).min_depth(1).into_iter().count(), 0, "{code} left something");
        code
    };
    assert_eq!(code(&spec_of(&cas, &[("e\u{301}", b"", false)])), Code::B0101);
    assert_eq!(code(&spec_of(&cas, &[("nul.txt", b"", false)])), Code::B0102);
    assert_eq!(code(&spec_of(&cas, &[("A", b"", false), ("a", b"", false)])), Code::B0103);
    assert_eq!(code(&spec_of(&cas, &[("a", b"", false), ("a/b", b"", false)])), Code::B0104);
    assert_eq!(code(&spec_of(&cas, &[])), Code::B0107);
    for (name, version) in [("", "1"), ("a/b", "1"), ("a", "1 0"), (".a", "1"), ("a", "")] {
        let spec = partita::bundle::BundleSpec { name: name.to_owned(), version: version.to_owned(), ..tiny(&cas) };
        assert_eq!(code(&spec), Code::B0106);
    }
    assert_eq!(code(&partita::bundle::BundleSpec { source_date_epoch: u64::MAX, ..tiny(&cas) }), Code::B0113);
    assert_eq!(build(&tiny(&cas), &cas, &[], out.path()).unwrap_err().code(), Code::B0112);
    assert_eq!(build(&tiny(&cas), &cas, &[&key(), &key()], out.path()).unwrap_err().code(), Code::B0112);
}

#[test]
fn content_that_is_lost_or_damaged_is_never_bundled() {
    let cas = Blobs::default();
    let spec = rich(&cas);
    let large = spec.files["data/large.bin"].digest;
    let small = spec.files["bin/demo"].digest;
    let out = tempfile::tempdir().unwrap();
    let code = |cas: &Blobs, spec: &_| build(spec, cas, &[&key()], out.path()).unwrap_err().code();
    cas.damage(small, b"#!/bin/sh\necho evil\n");
    assert_eq!(code(&cas, &spec), Code::B0109);
    cas.damage(small, b"#!/bin/sh\necho demo\n");
    cas.damage(large, &vec![0; 1_500_000]);
    assert_eq!(code(&cas, &spec), Code::B0109);
    cas.damage(large, b"short");
    assert_eq!(code(&cas, &spec), Code::B0109);
    cas.forget(large);
    assert_eq!(code(&cas, &spec), Code::B0108);
}

/// Flips one bit of every so many bytes of a file in turn: each must be refused.
fn flip(made: &Made, path: &Path, bit: u8, every: usize) {
    let good = std::fs::read(path).unwrap();
    let (policy, options) = (trusting(), VerifyOptions::new("acme"));
    for at in (0..good.len()).step_by(every) {
        let mut bad = good.clone();
        bad[at] ^= bit;
        std::fs::write(path, &bad).unwrap();
        let verdict = verify(made.zip(), &policy, &options).unwrap();
        assert!(!verdict.accepted(), "byte {at} of {} is free", path.display());
    }
    for bad in [&good[..good.len() - 1], &[&good[..], b"\n"].concat(), &[b" ", &good[..]].concat(), b""] {
        std::fs::write(path, bad).unwrap();
        assert!(!verify(made.zip(), &policy, &options).unwrap().accepted());
    }
    std::fs::write(path, &good).unwrap();
    assert!(made.verify().accepted());
}

#[test]
fn every_flip_of_the_envelopes_is_refused() {
    let made = Made::tiny();
    flip(&made, &made.built.intoto.path, 1, 1);
    flip(&made, &made.built.intoto.path, 0x20, 7);
}

#[test]
fn every_flip_of_the_sigstore_bundle_is_refused() {
    let made = Made::tiny();
    flip(&made, &made.built.sigstore.path, 1, 1);
    flip(&made, &made.built.sigstore.path, 0x20, 3);
}

/// Every byte by the digest; that the strict reader refuses each by itself is its own test.
#[test]
fn every_flip_of_the_archive_is_refused() {
    let made = Made::tiny();
    flip(&made, &made.built.zip.path, 1, 1);
}

#[test]
fn a_verdict_names_every_check() {
    let made = Made::rich();
    let verdict = made.verify();
    assert!(verdict.accepted(), "{:?}", verdict.refusals().collect::<Vec<_>>());
    assert_eq!(verdict.checks.len(), partita::bundle::CheckName::ALL.len());
    let facts = verdict.facts.unwrap();
    assert_eq!((facts.name.as_str(), facts.version.as_str(), facts.tenant.as_str()), ("demo", "1.0.0", "acme"));
    assert_eq!(facts.signers, ["self"]);
    assert_eq!(facts.sha256, made.built.zip.sha256);
    assert_eq!(facts.builders, [partita::bundle::builder_id(partita::plan::Isolation::Full)]);
    let verdict = made.verify_by(&partita::bundle::Policy::trusting(stranger().public(), "acme"));
    let refused: Vec<_> = verdict.refusals().map(|(name, refusal)| (name.word(), refusal.code)).collect();
    assert_eq!(refused, [("signatures", Code::B0407)]);
    assert_eq!(verdict.status(partita::bundle::CheckName::Archive), &Status::Skipped);
    assert!(verdict.facts.is_none());
}
