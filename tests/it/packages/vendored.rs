//! Packages in the workspace: folders that are packages, and fetched ones that were made part of it. Leaves
//! out fetching.

use super::{Repositories, package};
use crate::support::Workspace;

#[test]
fn a_folder_is_a_package() {
    let spec = "import \"packages/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say\n}\n";
    let ws = Workspace::with_spec(spec).file("packages/words/partita.kdl", &package("words", "1.0.0", ""));
    ws.run(&["run", "g"]).ok();
    // It needs no lock until one is asked for, and then must be as the lock has it.
    ws.run(&["check", "--locked"]).expect(3).says("P0208");
    ws.partita(&["check"]).env("CI", "true").run().expect(3).says("P0208");
    ws.partita(&["check", "--locked=false"]).env("CI", "true").run().ok();
    ws.run(&["lock"]).ok();
    ws.run(&["check", "--locked", "--offline"]).ok();
    ws.write("packages/words/notes.txt", "a note\n");
    ws.run(&["check"]).ok();
    ws.run(&["check", "--locked"]).expect(3).says("P0207");
    ws.run(&["lock", "--check"]).expect(7).says("words 1.0.0 has other content");
    ws.run(&["lock"]).ok();
    ws.run(&["check", "--locked"]).ok();
}

#[test]
fn a_tool_of_a_package_is_found_in_the_package() {
    let text = "partita edition=1\npackage words version=\"1.0.0\" {\n    export say\n}\ntool greet {\n    exec \
                \"tools/greet.sh\"\n    uses sh\n}\nrecipe say {\n    returns said type=artifact.file\n    step say \
                tool=greet {\n        output said path=said.txt\n    }\n}\n";
    let spec = "import \"git+URL/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say\n}\n";
    let Some(repos) = Repositories::new(spec) else { return };
    let ws = &repos.workspace;
    let script = "#!/bin/sh\necho hello > said.txt\n";
    repos.commit("words", &[("partita.kdl", text), ("tools/greet.sh", script)]);
    repos.git("words", &["update-index", "--chmod=+x", "tools/greet.sh"]);
    repos.git("words", &["commit", "-q", "-m", "mode"]);
    repos.git("words", &["tag", "v1.0.0"]);
    ws.run(&["lock"]).ok();
    ws.run(&["check"]).expect(3).says("P0211").says("grant words tool");
    repos.spec(&format!("grant words tool\n{spec}"));
    ws.run(&["check"]).expect(3).says("P0205").says("partita vendor");
    ws.run(&["vendor"]).ok().says("words 1.0.0 -> vendor/partita/words");
    ws.run(&["run", "g"]).ok();
    assert_eq!(ws.read("out/g/a/say/said.txt"), "hello\n");
}

#[test]
fn what_was_vendored_needs_nothing_else() {
    let spec = "import \"git+URL/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say\n}\n";
    let Some(repos) = Repositories::new(spec) else { return };
    let ws = &repos.workspace;
    ws.run(&["vendor"]).expect(2).says("partita lock");
    repos.publish("words", "1.0.0", "import \"git+URL/more\" version=\"0.3\" as=more\n");
    repos.publish("more", "0.3.0", "");
    ws.run(&["lock"]).ok();
    let plan = |ws: &Workspace| ws.run(&["plan", "g", "--format", "json", "--offline"]).ok().stdout;
    let before = plan(ws);
    ws.run(&["vendor"]).ok();
    assert_eq!(ws.list("vendor"), ["partita/more/partita.kdl", "partita/words/partita.kdl"]);
    std::fs::remove_dir_all(repos.cache()).expect("it was fetched");
    std::fs::remove_dir_all(ws.around().join("repos")).expect("the test's own");
    assert_eq!(plan(ws), before, "where a package lies changes no plan");
    ws.run(&["lock", "--check", "--offline"]).ok();
    // What is vendored is verified like everything else.
    let honest = ws.read("vendor/partita/words/partita.kdl");
    ws.append("vendor/partita/words/partita.kdl", "// changed\n");
    ws.run(&["check", "--offline"]).expect(3).says("P0207").says("partita vendor");
    ws.write("vendor/partita/words/partita.kdl", honest);
    ws.run(&["check", "--offline"]).ok();
    // A package that is not needed any more goes.
    repos.spec("graph g {\n    node a { write x; output o; }\n}\n");
    ws.run(&["lock", "--offline"]).ok();
    ws.run(&["vendor"]).ok();
    assert!(!ws.has("vendor/partita"));
}

#[test]
fn the_memo_notices_packages() {
    let spec = "import \"git+URL/words\" version=\"1.0\" as=words\ngraph g {\n    node a recipe=words.say\n}\n";
    let Some(repos) = Repositories::new(spec) else { return };
    let ws = &repos.workspace;
    repos.publish("words", "1.0.0", "");
    repos.publish("words", "1.1.0", "");
    let run = || ws.partita(&["run", "g"]).without("PARTITA_MEMO").run().ok();
    ws.run(&["lock"]).ok();
    run();
    run();
    ws.run(&["lock", "--update", "words"]).ok();
    run();
    assert_eq!(ws.read("out/g/a/say/said.txt"), "words 1.1.0");
}
