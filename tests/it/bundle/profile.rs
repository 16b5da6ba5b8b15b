//! What a spec says a bundle is for, and what its SBOMs say of what really went in: roles, levels, exclusions, lock
//! files, suppliers, versions of formats, dates and sources. Leaves out signatures.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Workspace, tool, tools_are_required};

const ZIP: &str = "out/bundles/shop-1.0.0.zip";

const SPEC: &str = r##"
tool own { exec "tools/pack.sh"; uses sh cat mkdir; }
tool site version=">=1.2" supplier="Site Makers" { exec "tools/site.sh" fingerprint="--version"; uses sh; }
graph shop {
    node build {
        input Cargo.lock
        input package-lock.json
        input "py/uv.lock"
        input "py/requirements-dev.txt"
        run own
        tools site
        output site type=artifact.dir
    }
    node docs { write "# Operate\n"; output guide.md; }
}
bundle shop from=shop version="1.0.0" level=3 {
    include build to="site/" role=screenshots
    include docs to="OPERATE.md" role=guide
    exclude "**/*.map" "*.none"
    sbom format=spdx version="2.3"
    sbom format=cyclonedx version="1.7"
    provenance format=slsa
}
"##;

/// A workspace with all that a bundle can hold.
fn shop() -> Workspace {
    let hash = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    Workspace::with_spec(SPEC)
        .script("tools/pack.sh", "#!/bin/sh\nmkdir site\necho a > site/a.txt\necho m > site/a.map\n")
        .script("tools/site.sh", "#!/bin/sh\necho site 1.2.3\n")
        .file(
            "Cargo.lock",
            &format!("version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\nchecksum = \"{hash}\"\n"),
        )
        .file(
            "package-lock.json",
            r#"{"lockfileVersion":3,"packages":{"":{},"node_modules/@s/b":{"version":"2.0.0","resolved":"https://npm.example/b.tgz"}}}"#,
        )
        .file(
            "py/uv.lock",
            "version = 1\n\n[[package]]\nname = \"c\"\nversion = \"3.0\"\nsource = { registry = \"https://py.example/simple\" }\n",
        )
        .file("py/requirements-dev.txt", "d==4.0\nloose>=1\n")
}

fn entry(workspace: &Workspace, zip: &str, name: &str) -> Value {
    let unzip = tool("unzip").expect("the caller asked for it");
    let path = workspace.path(zip);
    let text = workspace.command(&unzip, &["-p", path.to_str().unwrap(), name]).run().ok().stdout;
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_went_in_is_in_the_sboms_and_the_profile_in_the_manifest() {
    if tool("unzip").is_none() {
        return;
    }
    let ws = shop();
    let made = ws.run(&["deliver", "shop", "--format", "json"]).ok();
    let notes = made.json()["notes"].to_string();
    assert!(
        notes.contains("`py/requirements-dev.txt` names 1 things without a version, such as `loose>=1`"),
        "{notes}"
    );
    assert!(notes.contains("`exclude \\\"*.none\\\"` leaves out nothing"), "{notes}");
    let manifest = entry(&ws, ZIP, "META/manifest.json");
    assert_eq!(manifest["level"], 3);
    assert_eq!(manifest["roles"], json!({"OPERATE.md": "guide", "site/": "screenshots"}));
    let paths: Vec<&str> =
        manifest["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["out/OPERATE.md", "out/site/a.txt"]);
    let spdx = entry(&ws, ZIP, "META/spdx.json");
    let package = |name: &str| {
        let all = spdx["packages"].as_array().unwrap();
        let found = all.iter().find(|package| package["name"] == name);
        found.map(|found| (found["versionInfo"].as_str().unwrap(), found["supplier"].as_str().unwrap()))
    };
    assert_eq!(package("site"), Some(("site 1.2.3", "Organization: Site Makers")));
    assert_eq!(package("own").map(|found| found.1), Some("Organization: default"));
    assert_eq!(package("a"), Some(("1.0.0", "Organization: crates.io")));
    assert_eq!(package("@s/b"), Some(("2.0.0", "Organization: npm.example")));
    assert_eq!(package("c"), Some(("3.0", "Organization: py.example")));
    assert_eq!(package("d"), Some(("4.0", "Organization: PyPI")));
    let cyclonedx = entry(&ws, ZIP, "META/cyclonedx.json");
    assert_eq!(cyclonedx["specVersion"], "1.7");
    ws.run(&["verify", ZIP]).ok().prints("CycloneDX 1.7");
    ws.run(&["rebuild", ZIP]).ok().prints("reproduced");
    // A profile that says otherwise is another bundle.
    ws.write("partita.kdl", format!("partita edition=1\n{}", SPEC.replace("level=3", "level=4")));
    ws.run(&["deliver", "shop", "-o", "other"]).ok();
    ws.run(&["diff-bundles", ZIP, "other/shop-1.0.0.zip", "--exit-code"]).expect(5).prints("bundle level");
    ws.write("py/uv.lock", "version = 2\n");
    ws.run(&["deliver", "shop"]).expect(20).says("B0115").says("py/uv.lock");
}

/// Where programs come in packages, nothing has to be said for the documents to be complete.
#[test]
fn the_minimum_elements_are_there_without_a_hand() {
    let (Some(python), Some(_)) = (tool("python3"), tool("dpkg")) else { return };
    let ws = Workspace::copy_of("examples/hello");
    ws.run(&["deliver", "hello"]).ok();
    let probe = ws.command(&python, &["-c", "import ntia_conformance_checker, securesystemslib"]).run();
    if probe.status != 0 {
        assert!(!tools_are_required(), "python3 lacks the packages of requirements.txt");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bundle_tools/validators.py");
    let (zip, key) = (ws.path("out/bundles/hello-0.1.0.zip"), ws.state().join("keys/default.pub.pem"));
    ws.command(&python, &[&script, &zip, &key].map(|path| path.to_str().unwrap())).run().ok();
}

#[test]
fn dates_and_sources_are_what_they_were_said_to_be() {
    let (Some(git), Some(_)) = (tool("git"), tool("unzip")) else { return };
    let ws = shop();
    let source = ["--source", "git+https://git.example/shop", "--source-ref", "refs/heads/main"];
    let deliver = [&["deliver", "shop"][..], &source].concat();
    ws.run(&deliver).expect(2).says("the repository that the workspace is checked out from");
    let git = |args: &[&str]| {
        let name = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "init.defaultBranch=main"];
        ws.command(&git, &[&name[..], args].concat()).run().ok().stdout
    };
    ws.write(".gitignore", ".partita\nout\n");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "all"]);
    ws.partita(&deliver).env("SOURCE_DATE_EPOCH", "1700000000").run().ok();
    let line = ws.read(&format!("{ZIP}.intoto.jsonl"));
    let envelope: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    let payload = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    let provenance: Value = serde_json::from_slice(&payload).unwrap();
    let build = &provenance["predicate"]["buildDefinition"];
    assert_eq!(
        build["externalParameters"]["spec"],
        json!({"repository": "git+https://git.example/shop", "ref": "refs/heads/main"})
    );
    assert_eq!(build["resolvedDependencies"][0]["digest"]["gitCommit"], git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(entry(&ws, ZIP, "META/spdx.json")["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    // The date is the bundle's, whatever it is now.
    ws.run(&["rebuild", ZIP]).ok().prints("reproduced");
    // What went in must be what the commit holds; what did not go in does not matter.
    ws.write("notes.txt", "unrelated\n");
    ws.run(&deliver).ok();
    ws.append("Cargo.lock", "\n");
    ws.run(&deliver).expect(2).says("`Cargo.lock` is not as it is in the commit");
    ws.partita(&["deliver", "shop"]).env("SOURCE_DATE_EPOCH", "soon").run().expect(2).says("SOURCE_DATE_EPOCH");
}
