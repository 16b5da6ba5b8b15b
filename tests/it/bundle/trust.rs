//! Signatures, statements and the trust policy: everything that must be refused although the archive
//! is a good one. Leaves out the archive's layout.

use data_encoding::BASE64;
use partita::bundle::{
    CheckName, Code, Envelope, LogRule, PAYLOAD_TYPE, PROVENANCE_TYPE, Place, Policy, PrivateKey, Requirement,
    Revocation, SPDX_TYPE, Signer, TenantPolicy, TrustedKey, Verdict, VerifyOptions, builder_id, pae, verify,
};
use partita::plan::Isolation;
use serde_json::{Value, json};

use super::support::{Blobs, Made, key, rich, sha256, stranger, trusting};

fn codes(verdict: &Verdict) -> Vec<(&'static str, Code)> {
    verdict.refusals().map(|(name, refusal)| (name.word(), refusal.code)).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "every place of a policy is optional")]
fn place(line: u32, text: &str) -> Option<Place> {
    Some(Place { line, text: text.to_owned() })
}

fn full() -> &'static str {
    builder_id(Isolation::Full)
}

/// A policy that asks for provenance by the key `release`.
fn policy(tenant: impl FnOnce(TenantPolicy) -> TenantPolicy) -> Policy {
    let provenance = Requirement {
        place: place(4, "  require provenance"),
        ..Requirement::new(PROVENANCE_TYPE, &["release"]).builder(full())
    };
    Policy::new(20)
        .key("release", TrustedKey::new(key().public()))
        .builder(full(), &["release"])
        .tenant("acme", tenant(TenantPolicy::default().require(provenance)))
}

#[test]
fn a_policy_that_fits_accepts() {
    let made = Made::rich();
    let verdict = made.verify_by(&policy(|tenant| {
        tenant
            .require(Requirement::new(SPDX_TYPE, &["release"]))
            .minimum("demo", "0.9", None)
            .minimum("other", "7", None)
            .source("git+https://git.example/acme/specs", &["refs/heads/main"], None)
    }));
    assert!(verdict.accepted(), "{:?}", codes(&verdict));
}

#[test]
fn what_the_policy_does_not_say_is_refused_at_its_line() {
    let made = Made::rich();
    let refused = |policy: &Policy| {
        let verdict = made.verify_by(policy);
        let found =
            verdict.refusals().next().map(|(_, refusal)| (refusal.code, refusal.place.as_ref().map(|at| at.line)));
        assert_eq!(verdict.status(CheckName::Archive), &partita::bundle::Status::Skipped);
        found.unwrap()
    };
    // Tenants.
    assert_eq!(refused(&Policy::new(1).key("release", TrustedKey::new(key().public()))), (Code::B0501, None));
    let empty = Policy::new(1)
        .key("release", TrustedKey::new(key().public()))
        .tenant("acme", TenantPolicy { place: place(9, "tenant"), ..TenantPolicy::default() });
    assert_eq!(refused(&empty), (Code::B0509, Some(9)));
    // Another tenant's key signs for this one.
    let mut crossed = policy(|tenant| tenant).key("other", TrustedKey::new(stranger().public()));
    crossed.keys.get_mut("release").unwrap().key = stranger().public();
    crossed.keys.get_mut("other").unwrap().key = key().public();
    assert_eq!(refused(&crossed), (Code::B0407, Some(4)));
    // Epochs.
    let mut revoked = policy(|tenant| tenant);
    let release = revoked.keys.get_mut("release").unwrap();
    release.revoked = Some(Revocation { at_epoch: 20, reason: "laptop lost".to_owned(), place: place(2, "revoked") });
    assert_eq!(refused(&revoked), (Code::B0504, Some(2)));
    revoked.epoch = 19;
    assert!(made.verify_by(&revoked).accepted());
    for (from, until) in [(Some(21), None), (None, Some(19))] {
        let mut late = policy(|tenant| tenant);
        let release = late.keys.get_mut("release").unwrap();
        (release.from_epoch, release.until_epoch, release.valid_place) = (from, until, place(3, "valid"));
        assert_eq!(refused(&late), (Code::B0504, Some(3)));
    }
    // Sources, versions, logs.
    let source = |repository: &str, refs: &[&str]| policy(|tenant| tenant.source(repository, refs, place(5, "source")));
    assert_eq!(refused(&source("git+https://git.example/evil/specs", &[])), (Code::B0506, Some(5)));
    assert_eq!(refused(&source("git+https://git.example/acme/specs", &["refs/heads/x"])), (Code::B0506, Some(5)));
    assert!(made.verify_by(&source("git+https://git.example/acme/specs", &[])).accepted());
    let minimum = |version: &str| policy(|tenant| tenant.minimum("demo", version, place(6, "minimum")));
    assert_eq!(refused(&minimum("1.4.0")), (Code::B0507, Some(6)));
    assert!(made.verify_by(&minimum("1.0.0-rc.1")).accepted());
    let log = |required| {
        policy(|mut tenant| {
            tenant.logs.push(LogRule {
                name: "log.acme.example".to_owned(),
                required,
                key: None,
                place: place(7, "log"),
            });
            tenant
        })
    };
    assert_eq!(refused(&log(true)), (Code::B0508, Some(7)));
    assert!(made.verify_by(&log(false)).accepted());
    // An attestation that is not there.
    let vulns = "https://in-toto.io/attestation/vulns/v0.2";
    let missing = policy(|tenant| {
        tenant.require(Requirement { place: place(8, "require vulns"), ..Requirement::new(vulns, &["release"]) })
    });
    assert_eq!(refused(&missing), (Code::B0503, Some(8)));
}

#[test]
fn a_weaker_builder_is_another_builder() {
    let cas = Blobs::default();
    let spec = partita::bundle::BundleSpec { isolation: Isolation::None, ..rich(&cas) };
    let made = Made::new(&spec, &cas, &[&key()]);
    assert_eq!(codes(&made.verify_by(&policy(|tenant| tenant))), [("trust", Code::B0505)]);
    assert!(made.verify().accepted());
    // The builder is accepted, but not from this key.
    let mut unpaired = policy(|tenant| tenant).key("strong", TrustedKey::new(stranger().public()));
    unpaired = unpaired.builder(builder_id(Isolation::None), &["strong"]);
    let requirement = &mut unpaired.tenants.get_mut("acme").unwrap().requires[0];
    requirement.builders.push(builder_id(Isolation::None).to_owned());
    requirement.signers.push("strong".to_owned());
    assert_eq!(codes(&made.verify_by(&unpaired)), [("trust", Code::B0505)]);
}

#[test]
fn policies_that_contradict_themselves_judge_nothing() {
    let made = Made::tiny();
    let error =
        |policy: &Policy| verify(made.zip(), policy, &VerifyOptions::new("acme")).unwrap_err().code() == Code::B0301;
    assert!(error(&policy(|tenant| tenant).key("again", TrustedKey::new(key().public()))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new("x", &["nobody"])))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new("x", &["release"]).threshold(0)))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new("x", &["release"]).threshold(2)))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new("x", &["release", "release"]).threshold(2)))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new(PROVENANCE_TYPE, &["release"])))));
    assert!(error(&policy(|tenant| tenant.require(Requirement::new(PROVENANCE_TYPE, &["release"]).builder("b")))));
    assert!(error(&policy(|tenant| tenant.minimum("demo", "new", None))));
    assert!(error(&policy(|tenant| tenant).builder("b", &["nobody"])));
    let mut never = policy(|tenant| tenant);
    let release = never.keys.get_mut("release").unwrap();
    (release.from_epoch, release.until_epoch) = (Some(2), Some(1));
    assert!(error(&never));
}

#[test]
fn thresholds_count_different_keys() {
    let cas = Blobs::default();
    let two = Made::new(&rich(&cas), &cas, &[&key(), &stranger()]);
    let one = Made::new(&rich(&cas), &cas, &[&key()]);
    let policy = policy(|mut tenant| {
        tenant.requires[0].signers.push("second".to_owned());
        tenant.requires[0].threshold = 2;
        tenant
    })
    .key("second", TrustedKey::new(stranger().public()))
    .builder(full(), &["second"]);
    assert!(two.verify_by(&policy).accepted());
    assert_eq!(codes(&one.verify_by(&policy)), [("trust", Code::B0503)]);
    // One signature twice is not two keys, in one envelope or in two.
    let mut lines = one.lines();
    let mut envelope: Value = serde_json::from_str(&lines[0]).unwrap();
    let again = envelope["signatures"][0].clone();
    envelope["signatures"].as_array_mut().unwrap().push(again);
    one.write_lines(&[envelope.to_string(), lines[1].clone(), lines[2].clone()]);
    assert_eq!(codes(&one.verify_by(&policy)), [("envelopes", Code::B0401)]);
    lines.insert(0, lines[0].clone());
    one.write_lines(&lines);
    assert_eq!(codes(&one.verify_by(&policy)), [("statements", Code::B0401)]);
}

#[test]
fn a_second_signer_that_is_unknown_neither_helps_nor_harms() {
    let cas = Blobs::default();
    let made = Made::new(&rich(&cas), &cas, &[&key(), &stranger()]);
    assert!(made.verify().accepted());
    let made = Made::new(&rich(&cas), &cas, &[&stranger()]);
    assert_eq!(codes(&made.verify()), [("signatures", Code::B0407)]);
}

#[test]
fn envelopes_that_are_stripped_moved_or_foreign() {
    let made = Made::tiny();
    let lines = made.lines();
    let refused = |lines: &[String]| {
        made.write_lines(lines);
        codes(&made.verify())
    };
    assert_eq!(refused(&lines), []);
    assert_eq!(refused(&lines[..2]), [("trust", Code::B0503)]);
    let order = [lines[0].clone(), lines[2].clone(), lines[1].clone()];
    assert_eq!(refused(&order), [("statements", Code::B0401)]);
    assert_eq!(refused(&lines[1..])[0], ("sigstore", Code::B0402));
    // A line that nobody asked for, by somebody else.
    let payload = statement(&made, "https://example.org/x", json!({}));
    let foreign = Envelope::sign(PAYLOAD_TYPE, &payload, &[&stranger()]).unwrap();
    let with = |envelope: &Envelope| [&lines[..], &[String::from_utf8(envelope.to_line()).unwrap()]].concat();
    assert_eq!(refused(&with(&foreign)), [("signatures", Code::B0407)]);
    let own = Envelope::sign(PAYLOAD_TYPE, &payload, &[&key()]).unwrap();
    assert_eq!(refused(&with(&own)), []);
    assert_eq!(refused(&[with(&own), vec![String::new()]].concat()), [("envelopes", Code::B0401)]);
    // A missing file cannot be checked: that is an error, not an answer.
    std::fs::remove_file(&made.built.sigstore.path).unwrap();
    let error = verify(made.zip(), &trusting(), &VerifyOptions::new("acme")).unwrap_err();
    assert_eq!(error.code(), Code::B0302);
}

/// A statement about the archive, as canonical bytes.
fn statement(made: &Made, predicate_type: &str, predicate: Value) -> Vec<u8> {
    let mut statement = made.statements()[0].clone();
    statement["predicateType"] = json!(predicate_type);
    statement["predicate"] = predicate;
    serde_json_canonicalizer::to_vec(&statement).unwrap()
}

#[test]
fn keys_cannot_be_confused() {
    let made = Made::tiny();
    let lines = made.lines();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut envelope: Value = serde_json::from_str(&lines[0]).unwrap();
        change(&mut envelope);
        let line = String::from_utf8(serde_json_canonicalizer::to_vec(&envelope).unwrap()).unwrap();
        made.write_lines(&[line.clone(), lines[1].clone(), lines[2].clone()]);
        made.write_sigstore(&line);
        codes(&made.verify())
    };
    let payload = |envelope: &Value| BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    let wrong = [("signatures", Code::B0406)];
    assert_eq!(changed(&|_| ()), []);
    // Another key's signature under the trusted key's id, and the other way round.
    let forged = |envelope: &mut Value| {
        let sig = stranger().sign(&pae(PAYLOAD_TYPE, &payload(envelope))).unwrap();
        envelope["signatures"][0]["sig"] = json!(BASE64.encode(&sig));
    };
    assert_eq!(changed(&forged), wrong);
    assert_eq!(changed(&|envelope| envelope["signatures"][0]["keyid"] = json!(stranger().keyid())), wrong);
    // The signature of another message: the payload without its pre-authentication encoding.
    let raw = |envelope: &mut Value| {
        let sig = key().sign(&payload(envelope)).unwrap();
        envelope["signatures"][0]["sig"] = json!(BASE64.encode(&sig));
    };
    assert_eq!(changed(&raw), wrong);
    assert_eq!(changed(&|envelope| envelope["signatures"][0]["sig"] = json!("")), wrong);
    assert_eq!(changed(&|envelope| envelope["signatures"][0]["sig"] = json!("AA==")), wrong);
    assert_eq!(changed(&|envelope| envelope["signatures"] = json!([])), [("envelopes", Code::B0401),].to_vec());
    // Another protocol.
    let token = |envelope: &mut Value| envelope["payloadType"] = json!("application/jwt");
    assert_eq!(changed(&token), [("signatures", Code::B0403)]);
    let signed_token = |envelope: &mut Value| {
        let made = Envelope::sign("application/jwt", &payload(envelope), &[&key()]).unwrap();
        *envelope = serde_json::from_slice(&made.to_line()).unwrap();
    };
    assert_eq!(changed(&signed_token), [("signatures", Code::B0403)]);
    // A payload edited after signing.
    let edited = |envelope: &mut Value| {
        let text = String::from_utf8(payload(envelope)).unwrap().replace("\"acme\"", "\"evil\"");
        envelope["payload"] = json!(BASE64.encode(text.as_bytes()));
    };
    assert_eq!(changed(&edited), wrong);
    // The same payload in another text: two texts put together, each with its padding.
    let other_text = |envelope: &mut Value| {
        let payload = payload(envelope);
        let at = payload.len() / 2 / 3 * 3 + 1;
        envelope["payload"] = json!(BASE64.encode(&payload[..at]) + &BASE64.encode(&payload[at..]));
    };
    assert_eq!(changed(&other_text), [("signatures", Code::B0401)]);
    assert_eq!(changed(&|envelope| envelope["more"] = json!(1)), [("envelopes", Code::B0401)]);
}

#[test]
fn statements_that_lie_under_a_good_signature() {
    let made = Made::rich();
    let good = made.statements();
    let all = |change: &dyn Fn(&mut Value)| {
        let mut statements = good.clone();
        statements.iter_mut().for_each(change);
        made.resign(&statements, &[&key()]);
        codes(&made.verify())
    };
    let first = |pointer: &str, value: Value| {
        let mut statements = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        statements[0].pointer_mut(parent).unwrap()[name] = value;
        made.resign(&statements, &[&key()]);
        codes(&made.verify())
    };
    assert_eq!(all(&|_| ()), []);
    let statement = [("statements", Code::B0404)];
    assert_eq!(all(&|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")), statement);
    assert_eq!(all(&|s| s["more"] = json!(1)), statement);
    assert_eq!(all(&|s| s["subject"][0]["digest"]["blake3"] = json!("00")), statement);
    assert_eq!(all(&|s| s["subject"][1]["name"] = json!("META/other")), statement);
    assert_eq!(all(&|s| s["subject"] = json!([s["subject"][0]])), statement);
    assert_eq!(all(&|s| s["subject"][0]["name"] = json!("other.zip")), [("statements", Code::B0409)]);
    let other = json!(sha256(b"other"));
    assert_eq!(all(&|s| s["subject"][0]["digest"]["sha256"] = other.clone()), [("archive", Code::B0601)]);
    assert_eq!(first("/subject/0/digest/sha256", other), [("statements", Code::B0405)]);
    let provenance = [("statements", Code::B0408)];
    assert_eq!(first("/predicate/buildDefinition/externalParameters/more", json!(1)), provenance);
    assert_eq!(first("/predicate/buildDefinition/buildType", json!("other")), provenance);
    assert_eq!(first("/predicate/runDetails/metadata/startedOn", json!("2026-01-01T00:00:00Z")), provenance);
    assert_eq!(first("/predicate/runDetails/metadata/invocationId", json!("00")), provenance);
    assert_eq!(
        first("/predicate/buildDefinition/externalParameters/tenant", json!("other")),
        [("provenance", Code::B0502)]
    );
    assert_eq!(
        first("/predicate/buildDefinition/externalParameters/bundle/version", json!("2.0.0")),
        [("provenance", Code::B0409)]
    );
    assert_eq!(
        first("/predicate/buildDefinition/externalParameters/graph", json!("other")),
        [("manifest", Code::B0702)]
    );
    assert_eq!(first("/predicateType", json!("https://slsa.dev/provenance/v2"))[0].0, "statements");
}

#[test]
fn payloads_that_are_not_canonical() {
    let made = Made::tiny();
    let good: Vec<Vec<u8>> =
        made.statements().iter().map(|statement| serde_json_canonicalizer::to_vec(statement).unwrap()).collect();
    let text = String::from_utf8(good[0].clone()).unwrap();
    for bad in [
        text.replacen("\"_type\"", " \"_type\"", 1),
        text.replacen('{', "{\"_type\":\"https://in-toto.io/Statement/v1\",", 1),
        text.replacen("acme", "\\u0061cme", 1),
        format!("{text}\n"),
        String::new(),
        "[".repeat(100_000),
        "not json".to_owned(),
    ] {
        made.resign_bytes(&[bad.clone().into_bytes(), good[1].clone(), good[2].clone()], &[&key()]);
        assert_eq!(codes(&made.verify()), [("statements", Code::B0404)], "{bad:.80}");
    }
}

#[test]
fn a_renamed_archive_is_not_the_one_that_was_signed() {
    let made = Made::tiny();
    let rename = |from: &std::path::Path, suffix: &str| {
        std::fs::rename(from, made.dir.path().join(format!("demo-2.0.0.zip{suffix}"))).unwrap();
    };
    rename(made.zip(), "");
    rename(&made.built.intoto.path, ".intoto.jsonl");
    rename(&made.built.sigstore.path, ".sigstore.json");
    let path = made.dir.path().join("demo-2.0.0.zip");
    let mut options = VerifyOptions::new("acme");
    let verdict = verify(&path, &trusting(), &options).unwrap();
    assert_eq!(codes(&verdict), [("statements", Code::B0409)]);
    options.file_name = Some("demo-1.0.0.zip".to_owned());
    assert!(verify(&path, &trusting(), &options).unwrap().accepted());
}

#[test]
fn two_builders_together() {
    // Two independent builders, each with its own key and its own statement about the same archive.
    let made = Made::tiny();
    let (weak, second) = (builder_id(Isolation::Landlock), PrivateKey::from_seed([9; 32]));
    let mut other = made.statements()[0].clone();
    other["predicate"]["runDetails"]["builder"]["id"] = json!(weak);
    let other = serde_json_canonicalizer::to_vec(&other).unwrap();
    let line = Envelope::sign(PAYLOAD_TYPE, &other, &[&second]).unwrap().to_line();
    let mut lines = made.lines();
    // Within a type, by the bytes of the payload: `full` before `landlock`.
    lines.insert(1, String::from_utf8(line).unwrap());
    made.write_lines(&lines);
    let policy = policy(|mut tenant| {
        tenant.requires[0].signers.push("second".to_owned());
        tenant.requires[0].builders.push(weak.to_owned());
        tenant.requires[0].threshold = 2;
        tenant
    })
    .key("second", TrustedKey::new(second.public()))
    .builder(weak, &["second"]);
    let verdict = made.verify_by(&policy);
    assert!(verdict.accepted(), "{:?}", codes(&verdict));
    assert_eq!(verdict.facts.unwrap().builders, [full(), weak]);
    // Neither key may speak for the other's builder.
    lines[1] = String::from_utf8(Envelope::sign(PAYLOAD_TYPE, &other, &[&key()]).unwrap().to_line()).unwrap();
    made.write_lines(&lines);
    assert_eq!(made.verify_by(&policy).refusals().next().unwrap().1.code, Code::B0503);
}
