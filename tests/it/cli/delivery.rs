//! Keys, delivery and verification by policies in KDL. Leaves out the formats of bundles.

use std::os::unix::fs::PermissionsExt as _;

use crate::cli::sample;
use crate::support::{Outcome, Workspace, tool};

const ZIP: &str = "out/bundles/report-1.2.0.zip";

/// A policy that accepts the sample's bundle.
const POLICY: &str = "\
trust version=1 {
    key \"acme-2026\" alg=\"ed25519\" file=\"keys/acme-2026.pub\" {
        valid from-epoch=0 until-epoch=40       // policy epochs, not clock
        // revoked at-epoch=31 reason=\"laptop lost\"
    }
    builder \"https://partita.example/builders/none/v1\" { signer \"acme-2026\" }
    tenant \"default\" {
        require \"https://slsa.dev/provenance/v1\" threshold=1 {
            signer \"acme-2026\"
            builder \"https://partita.example/builders/none/v1\"
        }
        require \"https://spdx.dev/Document/v2.3\" threshold=1 { signer \"acme-2026\" }
        minimum \"report\" \"1.2.0\"
    }
}
";

/// The sample, delivered, with the policy and the key it names.
fn delivered() -> Workspace {
    let workspace = sample();
    workspace.run(&["deliver", "report"]).ok();
    let key = std::fs::read(workspace.state().join("keys/default.pub.pem")).expect("there is a key");
    workspace.write("keys/acme-2026.pub", key);
    workspace.write("trust.kdl", POLICY);
    workspace
}

fn verify(workspace: &Workspace, more: &[&str]) -> Outcome {
    workspace.run(&[&["verify", ZIP, "--policy", "trust.kdl"], more].concat())
}

#[test]
fn keys_are_made_once_and_shown() {
    let workspace = sample();
    workspace.run(&["key", "generate", "release"]).ok().says("private ").says("public  ").says("keyid   ");
    let private = workspace.state().join("keys/release.key.pem");
    let mode = std::fs::metadata(&private).expect("the key is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "readable by its owner only");
    let text = std::fs::read_to_string(&private).expect("the key can be read");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    workspace.run(&["key", "generate", "release"]).expect(22).says("exists");
    assert_eq!(std::fs::read_to_string(&private).expect("the key can be read"), text);
    workspace.run(&["key", "generate", "other", "--out", "here"]).ok();
    assert!(workspace.has("here/other.key.pem") && workspace.has("here/other.pub.pem"));
    let shown = workspace.run(&["key", "show"]).ok();
    let shown = shown.prints("release  ed25519  ").prints("-----BEGIN PUBLIC KEY-----");
    assert!(!shown.stdout.contains("PRIVATE"));
    assert_eq!(workspace.run(&["key", "show", "release"]).ok().stdout, shown.stdout);
    workspace.run(&["key", "show", "nope"]).expect(22).says("error[key-missing]");
    if let Some(openssl) = tool("openssl") {
        let path = private.to_str().expect("UTF-8");
        let public = workspace.command(&openssl, &["pkey", "-in", path, "-pubout"]).run().ok();
        assert!(shown.stdout.ends_with(&public.stdout), "openssl reads it and finds the same public key");
    }
    for name in ["../up", "a/b", "", ".", "-x y"] {
        let outcome = workspace.run(&["key", "generate", "--", name]);
        assert!(outcome.status != 0, "`{name}` is no name of a key\n{}", outcome.describe());
    }
    assert!(!workspace.state().join("up.key.pem").exists());
}

#[test]
fn a_bundle_is_signed_by_the_key_it_names() {
    let workspace = sample();
    let spec = workspace.read("partita.kdl").replace("    include note", "    sign key=release\n    include note");
    workspace.write("partita.kdl", &spec);
    let outcome = workspace.run(&["deliver", "report"]).expect(22).says("error[key-missing]");
    outcome.says("partita key generate release");
    assert!(!workspace.has("out"), "a missing key does not cost a build");
    workspace.run(&["key", "generate", "release"]).ok();
    let outcome = workspace.run(&["deliver", "report"]).ok();
    assert!(!outcome.stderr.contains("made the key"), "{}", outcome.describe());
    let json = workspace.run(&["bundle", "report", "--format", "json"]).ok().json();
    let shown = workspace.run(&["key", "show", "release", "--format", "json"]).ok().json();
    assert_eq!(json["keyids"][0], shown["keyid"]);
}

#[test]
fn a_policy_accepts_what_it_allows() {
    let workspace = delivered();
    let accepted = verify(&workspace, &[]).ok();
    let accepted = accepted.prints("ok       the policy accepts signers and builders: signed by `acme-2026`");
    assert!(accepted.stdout.ends_with("accepted\n") && !accepted.stdout.contains("skipped"));
    // Without a policy, this workspace's own keys are trusted; outside of one, nothing is.
    workspace.run(&["verify", ZIP]).ok().prints("accepted");
    let path = workspace.path(ZIP);
    let outside = workspace.partita(&["verify", path.to_str().expect("UTF-8")]).folder(workspace.around()).run();
    outside.expect(2).says("there is no policy to judge by");
    let elsewhere = Workspace::new();
    let policy = workspace.path("trust.kdl");
    let args = ["verify", path.to_str().expect("UTF-8"), "--policy", policy.to_str().expect("UTF-8")];
    elsewhere.run(&args).ok().prints("accepted");
    assert_eq!(elsewhere.list("."), [""; 0], "verifying needs nothing and writes nothing");
}

#[test]
fn a_refusal_names_the_line_of_the_policy() {
    let workspace = delivered();
    // What is changed in the policy, the check that refuses, the line that is named, and a part of the reason.
    for (from, to, check, line, reason) in [
        ("until-epoch=40", "until-epoch=0", "", 0, ""),
        ("trust version=1 {", "trust version=1 epoch=41 {", "trust", 3, "not valid in epoch 41"),
        ("        // revoked at-epoch=31", "        revoked at-epoch=0", "trust", 4, "laptop lost"),
        ("minimum \"report\" \"1.2.0\"", "minimum \"report\" \"1.3.0\"", "version", 13, "1.3.0"),
        (
            "require \"https://spdx.dev/Document/v2.3\"",
            "require \"https://example.org/review/v1\"",
            "trust",
            12,
            "example.org/review",
        ),
    ] {
        assert!(POLICY.contains(from), "{from}");
        // Each is a policy of its own: none is older than the one before.
        let _ = std::fs::remove_dir_all(workspace.around().join("home/.local/state/partita/policies"));
        workspace.write("trust.kdl", POLICY.replacen(from, to, 1));
        let outcome = verify(&workspace, &[]);
        if check.is_empty() {
            outcome.ok();
            continue;
        }
        let outcome = outcome.expect(7).prints("REFUSED").prints(reason).prints("\nrefused\n");
        let outcome = outcome.prints(&format!("trust.kdl:{line}: "));
        let json = verify(&workspace, &["--format", "json"]).expect(7).json();
        let checks = json["checks"].as_array().expect("checks are a list");
        let refused = checks.iter().find(|check| check["status"] == "refused").expect("one is refused");
        assert_eq!(
            (&refused["check"], &refused["policy_line"]),
            (&check.into(), &line.into()),
            "{}",
            outcome.describe()
        );
    }
}

#[test]
fn other_tenants_keys_and_names_are_refused() {
    let workspace = delivered();
    let other = verify(&workspace, &["--tenant", "acme"]).expect(7);
    other.prints("REFUSED").prints("it is a bundle of the tenant `default`, not of `acme`");
    workspace.run(&["key", "generate", "other", "--out", "keys"]).ok();
    workspace.write("trust.kdl", POLICY.replace("acme-2026.pub", "other.pub.pem"));
    verify(&workspace, &[]).expect(7).prints("REFUSED");
    workspace.write("trust.kdl", POLICY);
    // Under another name it is not the file that was signed.
    for side in ["", ".intoto.jsonl", ".sigstore.json"] {
        workspace.write(&format!("out/bundles/report-9.9.9.zip{side}"), workspace.bytes(&format!("{ZIP}{side}")));
    }
    workspace.run(&["verify", "out/bundles/report-9.9.9.zip", "--policy", "trust.kdl"]).expect(7).prints("REFUSED");
    // Without its statements there is nothing to go by.
    workspace.remove(&format!("{ZIP}.intoto.jsonl"));
    verify(&workspace, &[]).expect(2).says("error[B0302]").says("report-1.2.0.zip.intoto.jsonl");
}

#[test]
fn a_flipped_byte_is_refused() {
    let workspace = delivered();
    for file in [ZIP.to_owned(), format!("{ZIP}.intoto.jsonl"), format!("{ZIP}.sigstore.json")] {
        let whole = workspace.bytes(&file);
        for part in 0..8 {
            let mut bytes = whole.clone();
            let at = (bytes.len() - 1) * part / 7;
            bytes[at] ^= 0x01;
            workspace.write(&file, &bytes);
            let outcome = verify(&workspace, &[]);
            assert_eq!(outcome.status, 7, "{file}, byte {at}\n{}", outcome.describe());
            outcome.prints("REFUSED").prints("\nrefused\n");
        }
        workspace.write(&file, &whole[..whole.len() - 1]);
        verify(&workspace, &[]).expect(7).prints("REFUSED");
        workspace.write(&file, [&whole[..], b"\n"].concat());
        verify(&workspace, &[]).expect(7).prints("REFUSED");
        workspace.write(&file, &whole);
    }
    verify(&workspace, &[]).ok();
}

#[test]
fn a_policy_that_is_wrong_points_at_its_place() {
    let workspace = delivered();
    workspace.write("trust.kdl", POLICY.replace("tenant \"default\"", "tenent \"default\""));
    verify(&workspace, &[]).expect(3).says("error[P0101]").says("trust.kdl:7:").says("`tenant`");
    workspace.write("trust.kdl", POLICY.replace("keys/acme-2026.pub", "keys/gone.pub"));
    verify(&workspace, &[]).expect(22).says("gone.pub");
    // A threshold that cannot be met is a mistake of the policy, and no verdict on the bundle.
    workspace.write("trust.kdl", POLICY.replace("provenance/v1\" threshold=1", "provenance/v1\" threshold=2"));
    verify(&workspace, &[]).expect(2).says("error[B0301]").says("of 2 of 1 keys").says("trust.kdl:8:");
    workspace.remove("trust.kdl");
    verify(&workspace, &[]).expect(30).says("trust.kdl");
    workspace.write("trust.kdl", POLICY);
    workspace.remove(ZIP);
    let outcome = verify(&workspace, &[]);
    assert!(outcome.status != 0 && outcome.stderr.contains("report-1.2.0.zip"), "{}", outcome.describe());
}

#[test]
fn a_delivery_goes_where_it_is_told() {
    let workspace = sample();
    let outcome = workspace.run(&["deliver", "report", "-o", "release/today"]).ok();
    outcome.says("bundle release/today/report-1.2.0.zip (2 files, ").says("verified: ");
    assert_eq!(
        workspace.list("release/today"),
        [
            "report-1.2.0.report.html",
            "report-1.2.0.zip",
            "report-1.2.0.zip.intoto.jsonl",
            "report-1.2.0.zip.sigstore.json"
        ]
    );
    assert!(!workspace.has("out/bundles"));
}

#[test]
fn who_names_no_bundle_is_told_which_there_are() {
    let workspace = Workspace::new();
    let text = "partita edition=1\ngraph g {\n    node n {\n        write x\n        output o\n    }\n}\n";
    let bundle = |name: &str| format!("bundle {name} from=g version=\"1.0.0\" {{\n    include n\n}}\n");
    workspace.write("partita.kdl", text);
    workspace.run(&["deliver"]).expect(2).says("the workspace declares no bundle");
    workspace.write("partita.kdl", format!("{text}{}", bundle("one")));
    workspace.run(&["deliver"]).expect(2).says("there is one bundle: `partita deliver one`");
    workspace.write("partita.kdl", format!("{text}{}{}", bundle("one"), bundle("two")));
    workspace.run(&["bundle"]).expect(2).says("bundles: one, two; for one of them `partita bundle one`");
    workspace.run(&["report"]).expect(2).says("which bundle is to be reported on?");
}
