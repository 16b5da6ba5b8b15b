//! What actions of the shell need of a machine: the utilities that `sh` may start, looked for as a run would.
//! Leaves out what the machine itself can do.

use std::collections::BTreeSet;

use crate::base::{Environment, RelPath};
use crate::exec::{interpreter_of, look_up};
use crate::lang::{Compiled, MemoryWorld, compile};
use crate::ops::doctor::{Finding, Health};
use crate::ops::workspace::ROOT_FILE;

/// The shell of the standard library.
const SHELL: &str = "sh";

/// The names of the tools that are known everywhere.
pub fn usual_tools() -> BTreeSet<String> {
    prelude().program.files.iter().flat_map(|file| &file.decls.tools).map(|tool| tool.name.value.clone()).collect()
}

/// A workspace in which there is nothing but what is known everywhere.
fn prelude() -> Compiled {
    let roots: Vec<RelPath> = RelPath::new(ROOT_FILE).into_iter().collect();
    compile(&MemoryWorld::listing("partita edition=1\n"), &roots)
}

/// The shell, what it may start, `git`, and the tools that are scripts for what is not among theirs.
pub(super) fn utilities(environment: &Environment) -> Vec<Finding> {
    let compiled = prelude();
    let declared: Vec<_> = compiled.program.files.iter().flat_map(|file| &file.decls.tools).collect();
    let find = |name: &str| declared.iter().find(|tool| tool.name.value == name);
    let needed: Vec<&str> = find(SHELL).map_or_else(Vec::new, |tool| {
        tool.uses.iter().map(|name| find(&name.value).map_or(name.value.as_str(), |tool| &tool.exec.value)).collect()
    });
    let missing: Vec<&str> = needed.iter().copied().filter(|exec| look_up(environment, exec).is_err()).collect();
    let mut findings = vec![match look_up(environment, SHELL) {
        Ok(path) => Finding { what: "sh", health: Health::Good, seen: path.display().to_string() },
        Err(_) => Finding { what: "sh", health: Health::Bad, seen: "not found on PATH".to_owned() },
    }];
    findings.push(if missing.is_empty() {
        let seen = format!("all {} that a script of `sh` may start are on PATH", needed.len());
        Finding { what: "utilities", health: Health::Good, seen }
    } else {
        let seen = format!("not found on PATH: {}; no action that runs `sh` can start without", missing.join(", "));
        Finding { what: "utilities", health: Health::Bad, seen }
    });
    findings.push(match look_up(environment, "git") {
        Ok(path) => Finding { what: "git", health: Health::Good, seen: path.display().to_string() },
        Err(_) => {
            let seen = "not found on PATH: packages of repositories, `diff` of revisions and `--source` need it";
            Finding { what: "git", health: Health::Less, seen: seen.to_owned() }
        }
    });
    for tool in &declared {
        let (name, exec) = (&tool.name.value, &tool.exec.value);
        let Some(path) = look_up(environment, exec).ok().filter(|_| !exec.contains('/')) else { continue };
        let Some(interpreter) = interpreter_of(&path) else { continue };
        if interpreter == *name || tool.uses.iter().any(|used| used.value == interpreter) {
            continue;
        }
        let seen = format!(
            "`{name}` is {}, a script for `{interpreter}`, which it does not name: it may not start in an action; put \
             the folder of the real one first on PATH, or declare a tool that says `uses {interpreter}`",
            path.display()
        );
        findings.push(Finding { what: "script", health: Health::Less, seen });
    }
    findings
}
