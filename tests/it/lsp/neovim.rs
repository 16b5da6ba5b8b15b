//! A real editor with the language server: Neovim without a window. Leaves out every single feature,
//! which `session` asks for.

use crate::support::{Workspace, repository, tool};

#[test]
fn a_person_mends_a_spec_in_neovim() {
    let Some(nvim) = tool("nvim") else { return };
    let workspace = Workspace::with_spec("");
    workspace.write(
        "partita.kdl",
        "partita edition=1\ngraph hello {\n    node   greet {\n        wrote \"hello\\n\"; output greeting.txt\n    }\n}\n",
    );
    let script = repository("tests/it/lsp/neovim.lua");
    let script = script.to_str().expect("it is UTF-8");
    let said = workspace
        .command(&nvim, &["--headless", "--clean", "-u", script])
        .env("PARTITA", env!("CARGO_BIN_EXE_partita"))
        .env("ROOT", workspace.root())
        .env("SPEC", workspace.root().join("partita.kdl"))
        .run();
    let said = said.ok();
    let said = said.prints("mistake 4:9 P0101 unknown node `wrote` in `node`").prints("hover").prints("mended");
    assert!(said.stdout.contains("hello"), "{}", said.describe());
    let formatted = "partita edition=1\ngraph hello {\n    node greet {\n        write \"hello\\n\"; output greeting.txt\n    }\n}\n";
    assert_eq!(workspace.read("partita.kdl"), formatted, "it was formatted and written");
}
