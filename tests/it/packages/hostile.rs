//! Repositories that mean harm: what they hold is refused, and nothing of it is run or written anywhere
//! but below the cache. Leaves out limits of size that would take long to reach.

use std::os::unix::fs::symlink;

use super::{Repositories, package};

const SPEC: &str = "import \"git+URL/evil\" version=\"1.0\" as=evil\ngraph g {\n    node a recipe=evil.say\n}\n";

fn publish(repos: &Repositories) {
    repos.git("evil", &["add", "-A"]);
    repos.git("evil", &["commit", "-q", "--allow-empty", "-m", "evil"]);
    repos.git("evil", &["tag", "v1.0.0"]);
}

fn evil() -> Option<Repositories> {
    let repos = Repositories::new(SPEC)?;
    repos.commit("evil", &[("partita.kdl", &package("evil", "1.0.0", ""))]);
    Some(repos)
}

#[test]
fn links_are_refused() {
    for target in ["/etc/passwd", "../../../../etc", "partita.kdl"] {
        let Some(repos) = evil() else { return };
        symlink(target, repos.workspace.path("../repos/evil/link.kdl")).expect("a link can be made");
        publish(&repos);
        repos
            .workspace
            .run(&["lock", "--message-format", "short"])
            .expect(3)
            .says("P0205")
            .says("`link.kdl` is a link");
        assert!(!repos.workspace.has("partita.lock"));
    }
}

#[test]
fn submodules_are_refused() {
    let Some(repos) = evil() else { return };
    let commit = "0123456789012345678901234567890123456789";
    repos.git("evil", &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
    repos.git("evil", &["commit", "-q", "-m", "sub"]);
    repos.git("evil", &["tag", "v1.0.0"]);
    repos.workspace.run(&["lock", "--message-format", "short"]).expect(3).says("`sub` is a submodule");
}

#[test]
fn large_files_are_refused() {
    let Some(repos) = evil() else { return };
    repos.workspace.write("../repos/evil/big", vec![b'x'; (16 << 20) + 1]);
    publish(&repos);
    repos.workspace.run(&["lock", "--message-format", "short"]).expect(3).says("`big` is larger than 16 MiB");
}

#[test]
fn nothing_of_a_repository_is_run() {
    let Some(repos) = evil() else { return };
    let ws = &repos.workspace;
    let trap = ws.around().join("trap");
    let script = format!("#!/bin/sh\ntouch '{}'\n", trap.display());
    for hook in ["post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-upload-pack"] {
        let path = format!("../repos/evil/.git/hooks/{hook}");
        ws.write(&path, &script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(ws.path(&path), mode).expect("a mode can be set");
    }
    ws.write("../repos/evil/.gitattributes", "* filter=evil diff=evil\n");
    publish(&repos);
    // Committing ran hooks of the test's own.
    let _ = std::fs::remove_file(&trap);
    repos.git("evil", &["config", "uploadpack.packObjectsHook", &format!("touch '{}'; exec", trap.display())]);
    repos.git("evil", &["config", "filter.evil.smudge", &format!("touch '{}'", trap.display())]);
    let _ = std::fs::remove_file(&trap);
    ws.run(&["lock"]).ok();
    ws.run(&["check"]).ok();
    ws.run(&["vendor"]).ok();
    assert!(!trap.exists(), "something of the repository was run");
}

#[test]
fn an_address_is_no_option() {
    let Some(repos) = evil() else { return };
    let ws = &repos.workspace;
    let trap = ws.around().join("trap");
    for address in [
        format!("ext::sh -c touch% {}", trap.display()),
        format!("--upload-pack=touch {}", trap.display()),
        "ssh://-oProxyCommand=touch/x".to_owned(),
        "http://git.example.org/x".to_owned(),
        "https://user:secret@git.example.org/x".to_owned(),
    ] {
        repos.spec(&SPEC.replace("URL/evil", &address));
        for verb in [&["lock"][..], &["check"]] {
            ws.run(verb).expect(3).says("P0205");
        }
    }
    // A revision is looked up by name, never handed on.
    repos.spec(&SPEC.replace("version=\"1.0\"", "rev=\"--upload-pack=touch\""));
    ws.run(&["lock"]).expect(3).says("it has no tag or branch");
    assert!(!trap.exists());
}

#[test]
fn a_fetched_package_does_not_look_around() {
    let Some(repos) = evil() else { return };
    let ws = &repos.workspace;
    ws.write("secret.kdl", "partita edition=1\n");
    let more = "import \"../../secret.kdl\" as=s\n";
    repos.commit("evil", &[("partita.kdl", &package("evil", "1.0.0", more))]);
    publish(&repos);
    ws.run(&["lock"]).ok();
    ws.run(&["check"]).expect(3).says("P0210");
}

#[test]
fn a_folder_with_a_link_is_no_package() {
    let Some(repos) = Repositories::new("import \"words\" as=words\n") else { return };
    let ws = &repos.workspace;
    ws.write("words/partita.kdl", package("words", "1.0.0", ""));
    symlink("/etc/passwd", ws.path("words/link")).expect("a link can be made");
    ws.run(&["lock", "--message-format", "short"]).expect(3).says("`link` is a link");
}
