//! `release.kdl` as it is written: a package by name and one of a git repository, agents of another file, a template with loops, an agent's review
//! over HTTP, the inventory of the bundle before a gate, consent of two people, and a signed bundle.

use super::api::{Api, message};
use super::{Accepted, python};
use crate::support::{Outcome, tool};

/// The package `std/rust`: what it returns is what the spec takes.
const RUST: &str = r##"partita edition=1
package std-rust version="1.3.2" {
    export test publish
}
recipe test {
    param workspace type=path
    returns report type=artifact.junit
    returns diff type=artifact.diff
    step run tool=sh {
        input "core/**" "cli/**" "Cargo.lock" "change.diff"
        arg -c #"""
            count=$(ls core/src cli/src | grep -c '\.rs$')
            printf '<testsuites><testsuite name="all" tests="%s"/></testsuites>\n' "$count" > junit.xml
            test "$count" -gt 0
            { printf '<testsuite name="all">'; for each in $(seq "$count"); do printf '<testcase name="t%s"/>' "$each"; done
              printf '</testsuite>\n'; } > junit.xml
            cp change.diff work.diff
            : "$1"
            """# run (var)workspace
        output report path="junit.xml" type=artifact.junit
        output diff path="work.diff" type=artifact.diff
    }
}
recipe publish {
    param token type=string
    param verdict type=artifact.json
    returns receipt type=artifact.file
    step push tool=sh class=effect idempotent=#true {
        input "verdict.json" from=(var)verdict
        arg -c "test -n \"$TOKEN\" && grep -q '\"pass\"' verdict.json && echo published > receipt.txt"
        env TOKEN=(var)token
        output receipt path="receipt.txt"
    }
}
"##;

/// The package of gates, in a repository of its own.
const GATES: &str = r#"partita edition=1
package flow-gates version="0.9.1" {
    export no-critical-cves
}
gate no-critical-cves kind=command else="a package with a known hole is in it" {
    param sbom type=artifact.sbom
    input "sbom.json" from=(var)sbom
    run sh -c "grep -q '\"name\":\"serde\"' sbom.json && ! grep -q '\"name\":\"left-pad\"' sbom.json"
    tools grep
}
"#;

const AGENTS: &str = r#"partita edition=1
tenant agents {
    secret models from=env key=MODELS_KEY
}
provider hosted kind=http vendor=anthropic model=large {
    url "URL"
    price input="3.00" output="15.00" per=mtok
}
provider local kind=command {
    exec "tools/coder.sh"
}
agent hosted-coder provider=hosted { limits tokens=100000 }
agent local-coder provider=local { limits tokens=100000 }
"#;

const CARGO: &str = r#"#!/bin/sh
set -eu
if test "$1" = --version; then echo "cargo 1.91.0 (stand-in)"; exit; fi
while test $# -gt 0; do
    case "$1" in --profile) profile=$2; shift;; --target) target=$2; shift;; -p) crate=$2; shift;; esac
    shift
done
/bin/mkdir -p "target/$target/$profile"
{ echo "$crate for $target"; /bin/cat "$crate"/src/*.rs; } > "target/$target/$profile/$crate"
"#;

/// What the verdict of the review must be.
const VERDICT: &str = r#"{
    "type": "object",
    "required": ["pass", "reasons"],
    "properties": {"pass": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}}
}
"#;

const LOCK: &str = r#"version = 4
[[package]]
name = "serde"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
"#;

struct Release {
    accepted: Accepted,
    api: Api,
}

fn release() -> Option<Release> {
    if !python() || tool("git").is_none() {
        return None;
    }
    let api = Api::start(|_, _| (200, message(r#"{"pass": true, "reasons": []}"#, 900, 12)));
    let accepted = Accepted::new("release.kdl").stand_in("cargo", CARGO);
    let Accepted { workspace } = accepted;
    let workspace = workspace
        .file("agents.kdl", &AGENTS.replace("URL", &api.url()))
        .file("std/rust/partita.kdl", RUST)
        .file("schemas/verdict.json", VERDICT)
        .file("prompts/review.md.j2", "Review this change of {{ crate }}:\n{{ diff }}\n")
        .script("tools/coder.sh", "#!/bin/sh\nexit 1\n")
        .file("core/src/lib.rs", "pub fn core() {}\n")
        .file("cli/src/main.rs", "fn main() {}\n")
        .file("Cargo.lock", LOCK)
        .file("change.diff", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
    let accepted = Accepted { workspace };
    let folder = accepted.workspace.around().join("gates");
    accepted.workspace.write("../gates/partita.kdl", GATES);
    let git = tool("git").expect("it was looked for");
    let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    for args in [&["init", "-q", "."][..], &["add", "-A"], &["commit", "-q", "-m", "0.9.1"], &["tag", "v0.9.1"]] {
        accepted.workspace.command(&git, &[&own, args].concat()).folder(&folder).run().ok();
    }
    // The address that the spec names is that folder.
    let url = format!("[url \"file://{}\"]\n    insteadOf = https://git.example.org/flow/gates\n", folder.display());
    accepted.workspace.write("../home/.gitconfig", url);
    Some(Release { accepted, api })
}

impl Release {
    fn run(&self, args: &[&str]) -> Outcome {
        // A build asks for four processors; a machine may have fewer.
        let more: &[&str] = if matches!(args[0], "run" | "deliver") { &["-j", "4"] } else { &[] };
        self.accepted.partita(&[args, more].concat()).env("ACME_REGISTRY_TOKEN", "registry-9c41").run()
    }

    /// Locks the packages and makes the keys of those who approve and sign. In the spec one thing is changed, which nothing
    /// beside it can give: the digest at `integrity` is a shortened one of a package that never was, and becomes
    /// that of the package which is there.
    fn settle(&self) {
        let workspace = &self.accepted.workspace;
        let short = "b3:77aa01c9e3b2d4f0c1a5";
        let as_written = workspace.read("partita.kdl");
        let refused = self.run(&["check", "--message-format", "json"]).expect(3);
        let errors = refused.json_lines().into_iter().filter(|item| item["severity"] == "error");
        let errors: Vec<_> = errors.map(|item| (item["code"].to_string(), item["line"].as_u64())).collect();
        let (unlocked, digest) = (("\"P0208\"".to_owned(), Some(7)), ("\"P0301\"".to_owned(), Some(8)));
        assert_eq!(errors, [unlocked, digest], "nothing else is wrong with it");
        assert!(as_written.lines().nth(7).is_some_and(|line| line.contains(short)));
        workspace.write("partita.kdl", as_written.replace(&format!("    integrity \"{short}\""), "    // integrity"));
        self.run(&["lock"]).ok().says("added flow-gates 0.9.1");
        let lock = workspace.read("partita.lock");
        let of_gates = lock.split("package flow-gates ").nth(1).expect("the lock names the package");
        let tree = of_gates.split("tree \"").nth(1).and_then(|rest| rest.split('"').next());
        let tree = tree.unwrap_or_else(|| panic!("the lock has the digest of its files: {lock}"));
        workspace.write("partita.kdl", as_written.replace(short, tree));
        for name in ["ana", "ben", "release-signing"] {
            self.run(&["key", "generate", name]).ok();
        }
    }
}

#[test]
fn it_is_released_when_two_people_have_consented() {
    let Some(release) = release() else { return };
    release.settle();
    let workspace = &release.accepted.workspace;
    // Nobody says who is in the release team, which the spec leaves to whoever has keys: a warning.
    release.run(&["check"]).ok().says("warning[P0705]").says("nobody says who `release-team` is");
    release.run(&["test"]).ok();
    let plan = release.run(&["plan", "release"]).ok();
    plan.prints("release/matrix/build/core/x86_64-unknown-linux-gnu/compile  exec/1")
        .prints("inventory of release-zip")
        .prints("gate no-critical-cves kind=command")
        .prints("waits for 2 of release-team")
        .prints("asks http://127.0.0.1:");

    // Everything runs that waits for nobody; the agent's review waits for somebody to look at the plan.
    let waits = release.run(&["run", "release"]).expect(4);
    waits.says("release/publish/guard/human-signoff").says("release/audit/guard/assist");
    assert!(workspace.has("out/release/matrix/build/core/x86_64-unknown-linux-gnu") || release.api.asked().is_empty());
    release.run(&["approve", "release", "--key", "ana"]).ok();
    release.run(&["run", "release"]).expect(4).says("release/publish/guard/human-signoff");
    release.run(&["approve", "release", "--key", "ben"]).ok();
    release.run(&["run", "release"]).ok();
    assert_eq!(release.api.asked().len(), 1, "the review was asked for once");
    assert!(release.api.asked()[0].body["messages"][0]["content"].to_string().contains("Review this change of core"));
    assert!(release.api.asked()[0].body["system"].to_string().contains("that fits this JSON Schema"));
    assert_eq!(workspace.read("out/release/publish/push/receipt.txt"), "published\n");

    let delivered = release.run(&["deliver", "release-zip"]).ok();
    delivered.says("verified: ");
    let zips = workspace.list("out/bundles");
    let zip = zips.iter().find(|name| name.ends_with(".zip")).unwrap_or_else(|| panic!("{zips:?}"));
    release.run(&["verify", &format!("out/bundles/{zip}")]).ok().prints("accepted");

    // A package that nobody wants comes in: the inventory changes, and the gate says no.
    workspace.write("Cargo.lock", LOCK.replace("serde", "left-pad"));
    let refused = release.run(&["run", "release", "--keep-going"]).expect(15);
    refused.says("no-critical-cves");
}
