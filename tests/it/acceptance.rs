//! The specs that were written before the program was: each compiles, is run to its end, bundled and verified, with small
//! scripts in place of the tools it names and local repositories in place of the packages it imports. Leaves
//! out what each part does by itself, which has tests of its own.

mod agents;
mod api;
mod delivery;
mod gates;
mod patience;
mod release;

use std::path::PathBuf;

use crate::support::{Invocation, Workspace, repository, tool};

/// A workspace whose spec is one of those, with a folder of stand-ins before everything else on `PATH`.
pub(crate) struct Accepted {
    pub(crate) workspace: Workspace,
}

impl Accepted {
    pub(crate) fn new(spec: &str) -> Self {
        let text = std::fs::read_to_string(repository("tests/golden/specs").join(spec)).expect("the spec is there");
        let workspace = Workspace::new();
        workspace.write("partita.kdl", text);
        Self { workspace }
    }

    /// Puts a stand-in for a tool where tools are looked up.
    pub(crate) fn stand_in(self, name: &str, text: &str) -> Self {
        let Self { workspace } = self;
        Self { workspace: workspace.script(&format!("../bin/{name}"), text) }
    }

    /// Puts a script of `tests/it/acceptance/tools` there.
    pub(crate) fn script(self, name: &str, file: &str) -> Self {
        let text = std::fs::read_to_string(repository("tests/it/acceptance/tools").join(file)).expect("it is there");
        self.stand_in(name, &text)
    }

    /// Prepares a run of the program.
    pub(crate) fn partita(&self, args: &[&str]) -> Invocation {
        let own = self.workspace.around().join("bin");
        let path = partita::base::Environment::of_process();
        let path = path.get(partita::base::Environment::PATH).map(PathBuf::from).unwrap_or_default();
        self.workspace.partita(args).env("PATH", format!("{}:{}", own.display(), path.display()))
    }
}

/// Whether the interpreter of some stand-ins is there.
pub(crate) fn python() -> bool {
    tool("python3").is_some()
}
