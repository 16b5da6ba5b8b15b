//! Bundles as a person makes them, by the program itself: keys of every kind, reports, other forms, rebuilding,
//! audits and logs. Where another tool can judge, it does. Leaves out single bytes and single refusals.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Workspace, tool};

const SPEC: &str = r#"
tool shell supplier="Example & Sons <tools>" { exec sh; uses tr printf; }
graph g {
    node greet {
        run shell -c "printf 'hello\n' > greeting.txt"
        output greeting.txt
    }
    node shout {
        input greeting.txt from=(ref)greet.greeting.txt
        run shell -c "tr a-z A-Z < greeting.txt > shout.txt"
        output shout.txt
    }
}
bundle b from=g version="1.0.0" {
    include shout output=shout.txt to="shout.txt"
    // SIGN
}
"#;

const ZIP: &str = "out/bundles/b-1.0.0.zip";

fn workspace(sign: &str) -> Workspace {
    Workspace::with_spec(&SPEC.replace("// SIGN", sign))
}

fn payload(text: &str) -> Value {
    let envelope: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let bytes = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn copy(workspace: &Workspace, from: &str, to: &str) {
    workspace.write(to, workspace.bytes(from));
}

#[test]
fn the_report_asks_for_nothing_and_is_the_same_again() {
    let ws = workspace("");
    ws.run(&["deliver", "b"]).ok().says("report out/bundles/b-1.0.0.report.html").says("delivered in");
    let first = ws.read("out/bundles/b-1.0.0.report.html");
    ws.run(&["report", "b"]).ok();
    assert_eq!(ws.read("out/bundles/b-1.0.0.report.html"), first, "the report of one run differs from itself");
    for outside in ["src=\"http", "href=", "url(", "@import", "<script", "<link", "srcset", "<iframe"] {
        assert!(!first.contains(outside), "the report may ask for something: {outside}");
    }
    assert!(first.contains("default-src 'none'"), "its policy forbids all requests");
    for said in ["Verified", "15 of 15 checks passed", "shout.txt", "g&#x2f;greet", "Key id", "prefers-color-scheme"] {
        assert!(first.contains(said), "the report does not say `{said}`");
    }
    assert!(first.contains("Example &amp; Sons &lt;tools&gt;") && !first.contains("<tools>"), "a text was not escaped");
    // Another run, in which all is known, is another report, and says so.
    ws.run(&["deliver", "b"]).ok();
    assert!(ws.read("out/bundles/b-1.0.0.report.html").contains("Nothing had to run"));
}

#[test]
fn the_policy_in_the_report_and_its_commands_work() {
    let (Some(bash), Some(_), Some(_), Some(_)) = (tool("bash"), tool("openssl"), tool("jq"), tool("unzip")) else {
        return;
    };
    for algorithm in ["ed25519", "p256"] {
        let ws = workspace("sign key=release");
        ws.run(&["key", "generate", "release", "--algorithm", algorithm]).ok();
        ws.run(&["deliver", "b"]).ok();
        let html = ws.read("out/bundles/b-1.0.0.report.html");
        let blocks: Vec<String> = html
            .split("<pre>")
            .skip(1)
            .map(|block| {
                let text = block.split("</pre>").next().unwrap();
                text.replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&quot;", "\"")
                    .replace("&#x27;", "'")
                    .replace("&#39;", "'")
                    .replace("&#x2f;", "/")
                    .replace("&amp;", "&")
            })
            .collect();
        let [pem, commands, _, policy] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
        ws.write("out/bundles/key.pem", format!("{pem}\n"));
        ws.write("out/bundles/trust.kdl", policy);
        let script = format!("set -e\n{commands}\n");
        let done = ws.command(&bash, &["-c", &script]).folder(&ws.path("out/bundles")).run().ok();
        assert!(done.stdout.contains("same archive") && done.stdout.contains("same content"), "{}", done.stdout);
        ws.run(&["verify", ZIP, "--policy", "out/bundles/trust.kdl"]).ok().prints("accepted");
        // The wrong algorithm in a policy is no matter of taste.
        let other = if algorithm == "p256" { "ed25519" } else { "p256" };
        ws.write("out/bundles/trust.kdl", policy.replace("file=key.pem", &format!("file=key.pem alg={other}")));
        ws.run(&["verify", ZIP, "--policy", "out/bundles/trust.kdl"]).expect(2);
    }
}

#[test]
fn several_keys_sign_wherever_they_are_kept() {
    let (Some(openssl), Some(_)) = (tool("openssl"), tool("sh")) else { return };
    let ws = workspace("sign key=plain\n sign key=encrypted\n sign key=variable\n sign key=service");
    ws.run(&["key", "generate", "plain", "--algorithm", "p256"]).ok();
    ws.partita(&["key", "generate", "encrypted", "--passphrase-env", "PHRASE"]).env("PHRASE", "secret").run().ok();
    ws.run(&["key", "generate", "other", "--passphrase-env", "UNSET"]).expect(2);
    // Made by openssl: one P-256 key for a variable, one for a program that signs.
    let make = |name: &str, args: &[&str]| {
        let private = ws.path(&format!("keys/{name}.pem"));
        let private = private.to_str().unwrap();
        ws.command(&openssl, &[&["genpkey", "-out", private], args].concat()).run().ok();
        ws.command(&openssl, &["pkey", "-in", private, "-pubout", "-out", &format!("{private}.pub")]).run().ok();
    };
    ws.write("keys/.keep", "");
    make("variable", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    make("service", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    ws.run(&["key", "add", "variable", "--public", "keys/variable.pem.pub", "--variable", "RELEASE_KEY"]).ok();
    let ws = ws.script("sign.sh", "#!/bin/sh\nexec openssl dgst -sha256 -sign \"$1\"\n");
    let (script, private) = (ws.path("sign.sh"), ws.path("keys/service.pem"));
    let (script, private) = (script.to_str().unwrap(), private.to_str().unwrap());
    ws.run(&["key", "add", "service", "--public", "keys/service.pem.pub", "--", script, private]).ok();
    // Without the passphrase nothing is run, let alone signed.
    ws.partita(&["deliver", "b"]).env("RELEASE_KEY", ws.read("keys/variable.pem")).run().expect(22).says("B0204");
    let deliver = || {
        ws.partita(&["deliver", "b"])
            .env("RELEASE_KEY", ws.read("keys/variable.pem"))
            .env("PARTITA_KEY_PASSPHRASE", "secret")
            .run()
    };
    deliver().ok();
    let lines = ws.read(&format!("{ZIP}.intoto.jsonl"));
    let envelope: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(envelope["signatures"].as_array().unwrap().len(), 4);
    // A threshold of all four is met; with one key that did not sign it is not.
    let policy = |threshold: usize, names: &[&str]| {
        let mut text = "trust version=1 {\n".to_owned();
        for name in names {
            let file = ws.path(&format!("{name}.pub"));
            let pem = ws.run(&["key", "export", name]).ok().stdout;
            std::fs::write(&file, pem).unwrap();
            text.push_str(&format!("  key {name} file=\"{name}.pub\"\n"));
        }
        let builder = "\"https://partita.example/builders/none/v1\"";
        let all = names.join(" ");
        text.push_str(&format!(
            "  builder {builder} {{ signer {all}; }}\n  tenant default {{ require \"https://slsa.dev/provenance/v1\" \
             threshold={threshold} {{ signer {all}; builder {builder}; }} }}\n}}\n"
        ));
        ws.write("trust.kdl", text);
        ws.run(&["verify", ZIP, "--policy", "trust.kdl"])
    };
    let names = ["plain", "encrypted", "variable", "service"];
    policy(4, &names).ok();
    ws.run(&["key", "generate", "absent"]).ok();
    policy(5, &[&names[..], &["absent"]].concat()).expect(7).prints("B0503");
    // A service that signs with another key is found out before anything is written.
    ws.write("sign.sh", "#!/bin/sh\nexec openssl dgst -sha256 -sign \"${1%service.pem}variable.pem\"\n");
    deliver().expect(22).says("no signature by this key");
    ws.write("sign.sh", "#!/bin/sh\ncat > /dev/null\nexit 3\n");
    deliver().expect(22).says("it ended with");
}

#[test]
fn other_forms_verify_and_lies_in_them_do_not() {
    let ws = workspace("");
    ws.run(&["deliver", "b", "--single", "--zst"]).ok();
    let single = "out/bundles/b-1.0.0.bundle.zip";
    let zst = format!("{ZIP}.zst");
    for file in [ZIP, single, &zst] {
        ws.run(&["verify", file]).ok().prints("accepted");
    }
    if let Some(unpack) = tool("zstd") {
        let plain = ws.path("plain.zip");
        ws.command(&unpack, &["-dq", ws.path(&zst).to_str().unwrap(), "-o", plain.to_str().unwrap()]).run().ok();
        assert_eq!(std::fs::read(plain).unwrap(), ws.bytes(ZIP));
        // One that unpacks to far more than was signed is not unpacked.
        ws.write("zeros", vec![0; 50_000_000]);
        let (from, to) = (ws.path("zeros"), ws.path(&zst));
        ws.command(&unpack, &["-qf", "-19", from.to_str().unwrap(), "-o", to.to_str().unwrap()]).run().ok();
        ws.run(&["verify", &zst]).expect(7).prints("B0605");
        let bomb = [&ws.bytes(ZIP)[..], &vec![0; 50_000_000]].concat();
        ws.write("bomb", bomb);
        let from = ws.path("bomb");
        ws.command(&unpack, &["-qf", from.to_str().unwrap(), "-o", to.to_str().unwrap()]).run().ok();
        ws.run(&["verify", &zst]).expect(7).prints("B0605");
    }
    let good = ws.bytes(single);
    for at in (0..good.len()).step_by(good.len() / 97) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        ws.write(single, &bad);
        ws.run(&["verify", single]).expect(7);
    }
    ws.write(single, [&good[..], b"\0"].concat());
    ws.run(&["verify", single]).expect(7);
}

#[test]
fn what_differs_between_bundles_is_told() {
    let ws = workspace("");
    ws.run(&["deliver", "b", "-o", "before"]).ok();
    ws.run(&["diff-bundles", "before/b-1.0.0.zip", "before/b-1.0.0.zip", "--exit-code"]).ok().prints("nothing differs");
    let spec = ws.read("partita.kdl").replace("hello", "salut").replace("version=\"1.0.0\"", "version=\"1.1.0\"");
    ws.write("partita.kdl", spec);
    ws.run(&["deliver", "b", "-o", "after"]).ok();
    let differs = ["diff-bundles", "before/b-1.0.0.zip", "after/b-1.1.0.zip", "--exit-code"];
    ws.run(&differs).expect(5).prints("~ file out/shout.txt").prints("~ bundle version");
    let found = ws.run(&[&differs[..], &["--format", "json"]].concat()).expect(5).json();
    let kinds: Vec<&str> = found.as_array().unwrap().iter().map(|change| change["name"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["plan", "version", "out/shout.txt"]);
}

#[test]
fn a_bundle_is_made_again_from_its_provenance() {
    let ws = workspace("");
    ws.run(&["deliver", "b"]).ok();
    ws.drop_store();
    ws.run(&["rebuild", ZIP, "--vsa", "again.json"]).ok().prints("reproduced: sha256").says("2 ran");
    let summary = payload(&ws.read("again.json"));
    assert_eq!(summary["predicateType"], "https://slsa.dev/verification_summary/v1");
    assert_eq!(summary["predicate"]["verificationResult"], "PASSED");
    assert_eq!(summary["predicate"]["verifiedLevels"], json!(["SLSA_BUILD_LEVEL_1", "PARTITA_REPRODUCED"]));
    assert_eq!(summary["subject"], payload(&ws.read(&format!("{ZIP}.intoto.jsonl")))["subject"]);
    ws.run(&["verify", ZIP, "--vsa", "verified.json"]).ok();
    assert_eq!(payload(&ws.read("verified.json"))["predicate"]["verifiedLevels"], json!(["SLSA_BUILD_LEVEL_1"]));
    // Other specs make another plan, and that is said before anything runs.
    let spec = ws.read("partita.kdl");
    ws.write("partita.kdl", spec.replace("hello", "salut"));
    ws.run(&["rebuild", ZIP]).expect(2).says("the specs here are not those");
    // An action that is not a function of its inputs is found out.
    let random =
        spec.replace("printf 'hello\\n'", "od -N8 -tx1 /dev/urandom").replace("uses tr printf", "uses tr printf od");
    assert_ne!(random, spec);
    ws.write("partita.kdl", random);
    ws.run(&["deliver", "b"]).ok();
    ws.run(&["rebuild", ZIP, "--vsa", "never.json"]).expect(7).prints("NOT reproduced").prints("file out/shout.txt");
    assert!(!ws.has("never.json"));
}

#[test]
fn parameters_are_part_of_the_provenance() {
    let spec = SPEC
        .replace("graph g {", "graph g {\n    param who type=string default=x")
        .replace("printf 'hello\\n'", "printf '{{ who }}\\n'");
    let ws = Workspace::with_spec(&spec);
    ws.run(&["deliver", "b", "-p", "who=world"]).ok();
    let provenance = payload(&ws.read(&format!("{ZIP}.intoto.jsonl")));
    assert_eq!(provenance["predicate"]["buildDefinition"]["externalParameters"]["parameters"], json!({"who": "world"}));
    ws.run(&["rebuild", ZIP]).ok().prints("reproduced");
}

const LOCK: &str = "version = 4\n\n[[package]]\nname = \"frail\"\nversion = \"1.0.0\"\n\
    source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
    checksum = \"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\"\n";

#[test]
fn an_audit_refuses_and_a_vex_document_lets_through() {
    let spec = SPEC.replace("node greet {", "node greet {\n        input Cargo.lock");
    let ws = Workspace::with_spec(&spec).file("Cargo.lock", LOCK);
    let record = json!({
        "id": "RUSTSEC-2099-0001", "modified": "2099-01-02T00:00:00Z", "aliases": ["CVE-2099-1"], "summary": "frail",
        "affected": [{
            "package": {"ecosystem": "crates.io", "name": "frail"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0.0.0-0"}, {"fixed": "1.0.1"}]}],
        }],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
    });
    ws.write("db/crates.io/RUSTSEC-2099-0001.json", record.to_string());
    ws.run(&["deliver", "b"]).ok();
    let audit = |more: &[&str]| ws.run(&[&["audit", ZIP, "--osv-db", "db"], more].concat());
    audit(&[])
        .expect(15)
        .prints("RUSTSEC-2099-0001")
        .prints("open; fixed in 1.0.1")
        .prints("coverage crates.io: 1 package");
    audit(&["--fail-on", "critical"]).ok();
    assert_eq!(audit(&["--format", "json"]).expect(15).json()["cached"], true);
    // An export is read as single records are, and a changed database is scanned anew.
    if let Some(python) = tool("python3") {
        let script = "import zipfile; z = zipfile.ZipFile('db/all.zip', 'w', zipfile.ZIP_DEFLATED); \
                      z.write('db/crates.io/RUSTSEC-2099-0001.json', 'a.json')";
        ws.command(&python, &["-c", script]).run().ok();
        ws.remove("db/crates.io");
        let found = audit(&["--format", "json"]).expect(15).json();
        assert_eq!((&found["cached"], &found["open"]), (&json!(false), &json!(1)));
    }
    audit(&["--vex-out", "vex.json"]).expect(15);
    let open = ws.read("vex.json");
    ws.write(
        "vex.json",
        open.replace("\"under_investigation\"", "\"not_affected\",\"justification\":\"component_not_present\""),
    );
    audit(&["--vex", "vex.json"]).ok().prints("does not concern it: component not present");
    audit(&["--vex", "vex.json", "--attest", "scan.json"]).ok();
    let scan = payload(&ws.read("scan.json"));
    assert_eq!(scan["predicateType"], "https://in-toto.io/attestation/vulns/v0.2");
    assert_eq!(scan["predicate"]["scanner"]["result"][0]["id"], "RUSTSEC-2099-0001");
    // In a delivery: the report tells of it, and the status is that of the audit.
    ws.run(&["deliver", "b", "--osv-db", "db"]).expect(15).says("audit");
    assert!(ws.read("out/bundles/b-1.0.0.report.html").contains("RUSTSEC-2099-0001"));
    // Where no answer can be given that is said, by another status.
    ws.write("db/bad.json", "{");
    audit(&[]).expect(23);
    ws.run(&["deliver", "b", "--osv-db", "db"]).expect(23);
}

#[test]
fn a_log_of_static_files_proves_what_was_published() {
    let ws = workspace("");
    ws.run(&["deliver", "b"]).ok();
    ws.run(&["key", "generate", "log"]).ok();
    ws.run(&["tlog", "append", "log", ZIP, "--key", "log"]).expect(2).says("--origin");
    ws.run(&["tlog", "append", "log", ZIP, "--key", "log", "--origin", "log.example/b"]).ok();
    ws.run(&["key", "export", "log", "-o", "log.pub"]).ok();
    ws.run(&["key", "export", "default", "-o", "default.pub"]).ok();
    let builder = "\"https://partita.example/builders/none/v1\"";
    let policy = |log: &str| {
        format!(
            "trust version=1 {{\n  key k file=\"default.pub\"\n  builder {builder} {{ signer k; }}\n  tenant default {{\n    \
             require \"https://slsa.dev/provenance/v1\" threshold=1 {{ signer k; builder {builder}; }}\n    \
             log \"log.example/b\" required=#true{log}\n  }}\n}}\n"
        )
    };
    ws.write("trust.kdl", policy(" file=\"log.pub\""));
    let verify = || ws.run(&["verify", ZIP, "--policy", "trust.kdl"]);
    verify().ok().prints("entry 0 of 1 in `log.example/b`");
    // More bundles, and what an earlier proof said still holds.
    copy(&ws, &format!("{ZIP}.tlog-proof"), "early.tlog-proof");
    let spec = ws.read("partita.kdl");
    for number in 1..4 {
        ws.write("partita.kdl", spec.replace("version=\"1.0.0\"", &format!("version=\"1.{number}.0\"")));
        ws.run(&["deliver", "b"]).ok();
        ws.run(&["tlog", "append", "log", &format!("out/bundles/b-1.{number}.0.zip"), "--key", "log"]).ok();
    }
    let check = |since: &str| ws.run(&["tlog", "check", "log", "--key", "log.pub", "--since", since]);
    check("early.tlog-proof").ok().prints("4 entries");
    ws.run(&["tlog", "prove", "log", ZIP, "--key", "log.pub"]).ok().says("entry 0 of 4");
    verify().ok().prints("entry 0 of 4");
    // In one file the proof goes along.
    ws.write("partita.kdl", spec);
    ws.run(&["bundle", "b", "--single"]).ok();
    ws.run(&["verify", "out/bundles/b-1.0.0.bundle.zip", "--policy", "trust.kdl"]).ok();
    // What must be refused: no proof, another bundle's, a log without a key, a key with two purposes.
    let proof = ws.read(&format!("{ZIP}.tlog-proof"));
    copy(&ws, "out/bundles/b-1.1.0.zip.tlog-proof", &format!("{ZIP}.tlog-proof"));
    verify().expect(7).prints("B0508");
    ws.remove(&format!("{ZIP}.tlog-proof"));
    verify().expect(7).prints("B0508").prints("trust.kdl:6");
    ws.write(&format!("{ZIP}.tlog-proof"), proof);
    ws.write("trust.kdl", policy(""));
    verify().expect(7).prints("B0508");
    ws.write("trust.kdl", policy(" file=\"default.pub\""));
    verify().expect(2).says("B0301");
    // A log that was made anew does not begin as the old one did.
    ws.remove("log");
    ws.run(&["tlog", "append", "log", "out/bundles/b-1.2.0.zip", "--key", "log", "--origin", "log.example/b"]).ok();
    check("early.tlog-proof").expect(7).says("rewritten");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bundle_tools").join(name)
}

#[test]
fn proofs_and_statements_pass_a_second_implementation() {
    let Some(python) = tool("python3") else { return };
    let ws = workspace("sign key=k");
    ws.run(&["key", "generate", "k", "--algorithm", "p256"]).ok();
    ws.run(&["key", "generate", "log"]).ok();
    ws.run(&["deliver", "b"]).ok();
    ws.run(&["tlog", "append", "log", ZIP, "--key", "log", "--origin", "log.example/b"]).ok();
    ws.run(&["key", "export", "log", "-o", "log.pub"]).ok();
    let vkey = ws.run(&["tlog", "prove", "log", ZIP, "--key", "log.pub", "--format", "json"]).ok().json();
    let zip = ws.path(ZIP);
    let args = [script("tlog.py"), ws.path("log"), zip];
    let mut args: Vec<&str> = args.iter().map(|path| path.to_str().unwrap()).collect();
    let vkey = vkey["vkey"].as_str().unwrap().to_owned();
    args.push(&vkey);
    let probe = ws.command(&python, &["-c", "import cryptography"]).run();
    if probe.status != 0 {
        assert!(!crate::support::tools_are_required(), "python3 lacks `cryptography`");
        return;
    }
    ws.command(&python, &args).run().ok();
}

/// The blocks of a page of the book that are lines for a shell.
fn shell_blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("book/src").join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// How people get lines of a page into a shell: as a file, through a pipe, and one by one, which no `set -e` stops.
#[derive(Clone, Copy, Debug)]
enum Typed {
    File,
    Pipe,
    OneByOne,
}

/// A copy of an archive with one file replaced, and the list in it made to agree.
const FORGE: &str = r#"
import hashlib, sys, zipfile
path, name, text = sys.argv[1:]
with zipfile.ZipFile(path) as old:
    files = {entry: old.read(entry) for entry in old.namelist()}
assert name in files
files[name] = text.encode()
sums = "META/SHA256SUMS"
listed = sorted(entry for entry in files if entry != sums)
files[sums] = "".join(f"{hashlib.sha256(files[entry]).hexdigest()}  {entry}\n" for entry in listed).encode()
with zipfile.ZipFile(path, "w") as new:
    for entry in sorted(files):
        new.writestr(entry, files[entry])
"#;

#[test]
fn every_line_of_verify_it_yourself_works_and_finds_what_is_wrong() {
    let tools = ["bash", "openssl", "jq", "unzip", "sha256sum", "base64", "find", "python3"];
    if tools.iter().any(|name| tool(name).is_none()) {
        return;
    }
    let bash = tool("bash").unwrap();
    let ws = Workspace::copy_of("examples/hello");
    ws.run(&["deliver", "hello"]).ok();
    ws.run(&["key", "export", "default", "-o", "default.pub.pem"]).ok();
    let page = shell_blocks("guides/verify-yourself.md").join("\n");
    let without: Vec<&str> = page.lines().filter(|line| !line.starts_with("set -")).collect();
    ws.write("page.sh", &page);
    ws.write("lines.sh", without.join("\n"));
    let scripts = [ws.path("page.sh"), ws.path("lines.sh")].map(|path| path.display().to_string());
    let names = ["hello-0.1.0.zip", "hello-0.1.0.zip.intoto.jsonl", "hello-0.1.0.zip.sigstore.json"];
    let check = |folder: &str, typed: Typed, change: &dyn Fn(&str)| {
        let folder = &format!("{folder}-{typed:?}");
        for name in names {
            copy(&ws, &format!("out/bundles/{name}"), &format!("{folder}/{name}"));
        }
        copy(&ws, "default.pub.pem", &format!("{folder}/default.pub.pem"));
        change(folder);
        let command = match typed {
            Typed::File => format!("exec sh {}", scripts[0]),
            Typed::Pipe => format!("sh < {}", scripts[0]),
            // A shell that goes on after what ends it would be the reader's own.
            Typed::OneByOne => format!("bash < {}", scripts[1]),
        };
        ws.command(&bash, &["-c", &command]).folder(&ws.path(folder)).run()
    };
    let all = [Typed::File, Typed::Pipe, Typed::OneByOne];
    let last = "all of it is in order: hello-0.1.0.zip";
    for typed in all {
        check("good", typed, &|_| {}).ok().prints(last).prints("3 signatures");
    }
    // Each of these must stop it.
    let refuses = |what: &str, why: &str, change: &dyn Fn(&str)| {
        for typed in all {
            let outcome = check(what, typed, change);
            assert_ne!(outcome.status, 0, "{what}: {}", outcome.describe());
            assert!(!outcome.stdout.contains(last), "{what}: {}", outcome.describe());
            outcome.says("REFUSED").says(why);
        }
    };
    let edit = |file: &'static str, from: &'static [u8], to: &'static [u8]| {
        let ws = &ws;
        move |folder: &str| {
            let path = format!("{folder}/{file}");
            let mut bytes = ws.bytes(&path);
            let at = bytes.windows(from.len()).position(|part| part == from).expect("what is changed is there");
            bytes[at..at + from.len()].copy_from_slice(to);
            ws.write(&path, bytes);
        }
    };
    let another = "about another archive";
    refuses("content", another, &edit(names[0], b"HELLO", b"JELLO"));
    refuses("manifest", another, &edit(names[0], b"\"version\":\"0.1.0\"", b"\"version\":\"0.1.1\""));
    refuses("payload", "envelope 1", &edit(names[1], b"payload\":\"ey", b"payload\":\"fy"));
    refuses("signature", "the signature of envelope 1", &edit(names[1], b"\"sig\":\"", b"\"sih\":\""));
    // An archive that agrees with itself, beside the statements of the true one.
    let python = tool("python3").unwrap();
    refuses("forged", another, &|folder| {
        let zip = ws.path(&format!("{folder}/{}", names[0]));
        ws.command(&python, &["-c", FORGE, zip.to_str().unwrap(), "out/shout.txt", "EVIL\n"]).run().ok();
    });
    refuses("unsigned", "nobody signed", &|folder| ws.write(&format!("{folder}/{}", names[1]), ""));
    // A good envelope before one that is not.
    refuses("second", "envelope 2", &|folder| {
        let path = format!("{folder}/{}", names[1]);
        let lines = ws.read(&path);
        let mut lines: Vec<&str> = lines.lines().collect();
        let forged = lines[1].replacen("payload\":\"ey", "payload\":\"fy", 1);
        lines[1] = &forged;
        ws.write(&path, lines.join("\n"));
    });
    ws.run(&["key", "generate", "other"]).ok();
    let other = ws.run(&["key", "export", "other"]).ok().stdout;
    refuses("key", "is not by default.pub.pem", &|folder| ws.write(&format!("{folder}/default.pub.pem"), &other));
    refuses("no-key", "is not a public key", &|folder| ws.write(&format!("{folder}/default.pub.pem"), "junk"));
    refuses("longer", another, &|folder| {
        let path = format!("{folder}/{}", names[0]);
        ws.write(&path, [&ws.bytes(&path)[..], b"\0"].concat());
    });
}
