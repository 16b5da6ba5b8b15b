//! Packages of repositories, from the outside: locking, updating, using, offline, tampering. Leaves out
//! repositories that mean harm.

use super::Repositories;

const SPEC: &str = "import \"git+URL/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say\n}\n";

fn two_versions() -> Option<Repositories> {
    let repos = Repositories::new(SPEC)?;
    repos.publish("words", "1.0.0", "");
    repos.publish("words", "1.2.0", "");
    repos.publish("words", "2.0.0", "");
    Some(repos)
}

#[test]
fn a_package_is_locked_fetched_and_run() {
    let Some(repos) = two_versions() else { return };
    let ws = &repos.workspace;
    ws.run(&["check"]).expect(3).says("P0208");
    ws.run(&["lock", "--check"]).expect(7).says("added words 1.0.0");
    assert!(!ws.has("partita.lock"));
    ws.run(&["lock"]).ok();
    assert_eq!(repos.locked("words").as_deref(), Some("1.0.0"));
    ws.run(&["lock", "--check"]).ok();
    ws.run(&["check", "--locked", "--offline"]).ok();
    ws.run(&["run", "g"]).ok();
    assert_eq!(ws.read("out/g/a/say/said.txt"), "words 1.0.0");
    // A new version changes nothing until it is asked for, and nothing ever crosses a major version.
    ws.run(&["lock", "--update", "words"]).ok().says("words 1.0.0 -> 1.2.0");
    let text = ws.read("partita.lock");
    ws.run(&["lock"]).ok();
    assert_eq!(ws.read("partita.lock"), text);
    ws.run(&["lock", "--update", "wrods"]).expect(2).says("did you mean `words`?");
    // It is kept while it is compatible with what is asked for.
    repos.spec(&SPEC.replace("1.0", "2.0"));
    ws.run(&["check"]).expect(3).says("P0208");
    ws.run(&["lock"]).ok();
    assert_eq!(repos.locked("words").as_deref(), Some("2.0.0"));
    repos.spec("graph g {\n    node a { write x; output o; }\n}\n");
    ws.run(&["lock"]).ok().says("removed words 2.0.0");
}

#[test]
fn what_a_package_may_and_is_stands_on_top_of_a_review() {
    let Some(repos) = two_versions() else { return };
    let ws = &repos.workspace;
    let before = "../before.jsonl";
    let privileged = || {
        let said = ws.run(&["diff", before, "."]).ok().stdout;
        ws.run(&["plan", "g", "-o", before]).ok();
        said.lines().filter(|line| line.starts_with('!')).collect::<Vec<_>>().join("\n")
    };
    ws.write("partita.kdl", "partita edition=1\ngraph g {\n    node a { write x; output o; }\n}\n");
    ws.run(&["plan", "g", "-o", before]).ok();
    repos.spec(SPEC);
    ws.run(&["lock"]).ok();
    let said = privileged();
    assert!(said.contains("`words` 1.0.0 from") && said.contains("granted nothing"), "{said}");
    // Another version has other content: both are said.
    ws.run(&["lock", "--update", "words"]).ok();
    let said = privileged();
    assert!(said.contains("1.0.0 -> 1.2.0") && said.contains("content b3:"), "{said}");
    // A power that is granted is said by its name; one that is taken away widens nothing.
    repos.spec(&format!("{SPEC}grant words net\n"));
    let said = privileged();
    assert!(said.contains("`words` is granted net"), "{said}");
    repos.spec(SPEC);
    assert_eq!(privileged(), "");
}

#[test]
fn an_expansion_rests_on_the_same_packages() {
    let Some(repos) = two_versions() else { return };
    let ws = &repos.workspace;
    repos.spec(&format!("grant words net path\n{SPEC}"));
    ws.run(&["lock"]).ok();
    let before = ws.run(&["plan", "g", "--format", "json"]).ok().stdout;
    assert!(before.contains("\"packages\""), "{before}");
    let expanded = ws.run(&["expand", "g"]).ok().stdout;
    ws.write("partita.kdl", &expanded);
    ws.run(&["fmt", "--check"]).ok();
    assert_eq!(ws.run(&["plan", "g", "--format", "json", "--locked"]).ok().stdout, before, "{expanded}");
}

#[test]
fn needs_of_packages_are_met_and_conflicts_told() {
    let Some(repos) = Repositories::new(SPEC) else { return };
    let ws = &repos.workspace;
    repos.publish("words", "1.0.0", "import \"git+URL/more\" version=\"0.3\" as=more\n");
    repos.publish("more", "0.3.0", "");
    repos.publish("more", "0.3.4", "");
    repos.publish("more", "0.4.0", "");
    ws.run(&["lock"]).ok();
    assert_eq!((repos.locked("more").as_deref(), repos.locked("words").as_deref()), (Some("0.3.0"), Some("1.0.0")));
    repos.spec(&format!("{SPEC}import \"git+URL/more\" version=\"0.3.2\" as=more\n"));
    ws.run(&["lock"]).ok();
    assert_eq!(repos.locked("more").as_deref(), Some("0.3.4"));
    repos.spec(&format!("{SPEC}import \"git+URL/more\" version=\"0.4\" as=more\n"));
    let said = ws.run(&["lock"]).expect(3).stderr;
    assert!(said.contains("P0209") && said.contains("0.4.0 is needed here"), "{said}");
    assert!(said.contains("0.3.0 is needed here"), "{said}");
    assert_eq!(repos.locked("more").as_deref(), Some("0.3.4"), "nothing is written");
    // Names without an address are the workspace's to resolve.
    repos.publish("words", "1.1.0", "import \"more\" version=\"0.3\" as=more\n");
    repos.spec(&SPEC.replace("1.0", "1.1"));
    ws.run(&["lock"]).expect(3).says("P0210");
    repos.spec(&format!("workspace {{\n    source more git=\"URL/more\"\n}}\n{}", SPEC.replace("1.0", "1.1")));
    ws.run(&["lock"]).ok();
    ws.run(&["check", "--locked"]).ok();
    assert_eq!(repos.locked("more").as_deref(), Some("0.3.0"));
}

#[test]
fn revisions_are_pinned_to_their_commit() {
    let Some(repos) = Repositories::new(&SPEC.replace("version=\"1.0\"", "rev=main")) else { return };
    let ws = &repos.workspace;
    repos.publish("words", "1.0.0", "");
    ws.run(&["lock"]).ok();
    ws.run(&["check"]).ok();
    let before = ws.read("partita.lock");
    assert!(before.contains("rev main"), "{before}");
    repos.publish("words", "1.1.0", "");
    ws.run(&["run", "g", "--offline"]).ok();
    assert_eq!(ws.read("out/g/a/say/said.txt"), "words 1.0.0");
    ws.run(&["lock"]).ok().says("words 1.0.0 (main) -> 1.1.0 (main)");
    repos.spec(&SPEC.replace("version=\"1.0\"", "rev=mian"));
    ws.run(&["check"]).expect(3).says("P0208");
    ws.run(&["lock", "--message-format", "short"]).expect(3).says("it has no tag or branch `mian`");
}

#[test]
fn what_is_not_as_promised_is_never_used() {
    let Some(repos) = two_versions() else { return };
    let ws = &repos.workspace;
    ws.run(&["lock"]).ok();
    let cached = repos.contents();
    let file = cached[0].join("partita.kdl");
    let honest = std::fs::read(&file).expect("it was fetched");
    for change in ["add", "change", "mode", "link"] {
        match change {
            "add" => std::fs::write(cached[0].join("more.kdl"), "partita edition=1\n"),
            "change" => std::fs::write(&file, b"partita edition=1\n"),
            "mode" => std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)),
            _ => std::fs::remove_file(&file).and_then(|()| std::os::unix::fs::symlink("/etc/passwd", &file)),
        }
        .expect("the cache is the user's own");
        let refused = ws.run(&["check", "--offline"]).expect(3);
        assert!(
            refused.stderr.contains("P0207") || refused.stderr.contains("P0205"),
            "{change}: {}",
            refused.describe()
        );
        // With the network it is fetched anew.
        ws.run(&["check"]).ok();
        assert_eq!(std::fs::read(&file).expect("it is whole"), honest, "{change}");
    }
    let lock = ws.read("partita.lock");
    ws.write("partita.lock", lock.replace("1.0.0", "1.2.0"));
    ws.run(&["check"]).expect(3).says("P0207");
    ws.run(&["lock"]).expect(3).says("P0207");
    ws.write("partita.lock", &lock);
    // A tag that was moved is told of, and taken only on request.
    repos.commit("words", &[("partita.kdl", &(super::package("words", "1.0.0", "") + "// moved\n"))]);
    repos.git("words", &["tag", "-f", "v1.0.0"]);
    ws.run(&["check"]).ok();
    ws.run(&["lock"]).expect(3).says("P0207").says("its tag was moved");
    assert_eq!(ws.read("partita.lock"), lock);
}

#[test]
fn offline_nothing_is_asked() {
    let Some(repos) = two_versions() else { return };
    let ws = &repos.workspace;
    ws.run(&["lock", "--offline"]).expect(3).says("--offline=false");
    ws.run(&["lock"]).ok();
    std::fs::remove_dir_all(ws.around().join("repos")).expect("the test's own");
    ws.run(&["check"]).ok();
    ws.run(&["lock", "--check", "--offline"]).ok();
    ws.run(&["lock", "--check"]).expect(3).says("cannot read package");
    std::fs::remove_dir_all(repos.cache()).expect("it was fetched");
    ws.run(&["check", "--offline"]).expect(3).says("P0205").says("--offline=false");
    // Continuous integration is offline unless it says otherwise.
    ws.partita(&["check"]).env("CI", "1").run().expect(3).says("--offline=false");
    ws.run(&["check"]).expect(3).says("P0205");
}

#[test]
fn a_relative_path_and_a_bare_repository_do_as_well() {
    let Some(repos) = Repositories::new("") else { return };
    let ws = &repos.workspace;
    repos.publish("words", "1.0.0", "");
    repos.git("words", &["clone", "-q", "--bare", ".", "../words.git"]);
    repos.spec(&SPEC.replace("git+URL/words", "git+../repos/words.git"));
    ws.run(&["lock"]).ok();
    ws.run(&["check", "--locked", "--offline"]).ok();
}
