//! What a test asks of a run: which actions its mocks stand in for, and which outputs it looks at. Leaves out
//! the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::lang::ast::{Expected, MockContent, MockDecl};
use crate::lang::ir::ToolOf;
use crate::lang::ir::{BodyIr, Expansion};
use crate::lang::program::DeclKind;
use crate::lang::testing::{Mock, Tester, Trial, TrialExpect, TrialWhat, failed, instances, list, no_node, short};

impl Tester<'_> {
    /// What has to be run; `None` where nothing has, or something is wrong, which has been reported.
    pub(super) fn trial(&self, expansion: &Expansion, failures: &mut Diagnostics) -> Option<Trial> {
        if !self.test.expects.iter().any(|expect| expect.what.of_run()) {
            return None;
        }
        let before = failures.sorted().len();
        let mut mocks = Vec::new();
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        for (number, decl) in self.test.mocks.iter().enumerate() {
            let actions: Vec<usize> =
                self.stands_in(expansion, decl).into_iter().filter(|action| !taken.contains_key(action)).collect();
            if actions.is_empty() {
                let what = if decl.agent { "agent" } else { "tool" };
                failures.push(
                    failed(decl.name.span, format!("nothing is done by {what} `{}` here", decl.name.value))
                        .with_help("the first of several mocks for one action counts; `at=` says which node is meant"),
                );
                continue;
            }
            taken.extend(actions.iter().map(|action| (*action, number)));
            let mut outputs = BTreeMap::new();
            for (name, content) in &decl.outputs {
                let bytes = match content {
                    MockContent::Text(text) => text.clone().into_bytes(),
                    MockContent::File(file) => match self.beside(&file.value) {
                        Ok(bytes) => bytes,
                        Err(why) => {
                            let message = format!("`{}` could not be read: {why}", file.value);
                            failures.push(failed(file.span, message).with_help("record it there"));
                            continue;
                        }
                    },
                };
                outputs.insert(name.value.clone(), bytes);
            }
            for action in actions.iter().filter(|_| decl.status == 0) {
                for output in &expansion.actions[*action].outputs {
                    if !outputs.contains_key(&output.name) {
                        let addr = short(expansion, &expansion.actions[*action].addr);
                        failures.push(
                            failed(decl.name.span, format!("what stands in leaves no `{}`", output.name))
                                .with_secondary(output.span, format!("`{addr}` must leave it"))
                                .with_help(format!("add `output {} \"…\"`", output.name)),
                        );
                    }
                }
            }
            mocks.push(Mock { actions, status: decl.status, outputs });
        }
        let mut expects = Vec::new();
        for expect in &self.test.expects {
            let what = match &expect.what {
                Expected::Status { status } => TrialWhat::Status(status.value),
                Expected::Output { output, op, value } => {
                    let Some((path, name)) = output.value.split_once('.') else {
                        let message = format!("`{}` names no output", output.value);
                        failures.push(failed(output.span, message).with_help("write `NODE.OUTPUT`"));
                        continue;
                    };
                    let found = instances(expansion, path);
                    if found.is_empty() {
                        failures.push(no_node(expansion, output.span, path));
                    }
                    for index in found {
                        let instance = &expansion.instances[index];
                        match instance.outputs.get(name) {
                            Some(action) => expects.push(TrialExpect {
                                what: TrialWhat::Output(action, name.to_owned(), *op, value.value.clone()),
                                span: expect.span,
                            }),
                            None => {
                                let known: Vec<&str> = instance.outputs.names().collect();
                                failures.push(
                                    failed(output.span, format!("`{path}` had no output `{name}`"))
                                        .with_help(format!("it has: {}", list(&known))),
                                );
                            }
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            expects.push(TrialExpect { what, span: expect.span });
        }
        // What the machine does is not what was recorded: nothing that reaches outside is done for a test.
        let aside = expansion.instances.iter().filter(|instance| instance.takes_back);
        let aside: BTreeSet<usize> = aside.flat_map(|instance| instance.actions.iter().copied()).collect();
        for (index, action) in expansion.actions.iter().enumerate().filter(|(index, _)| !aside.contains(index)) {
            let reaches =
                action.class != "pure" || matches!(action.body, BodyIr::Http(_)) || !action.services.is_empty();
            if reaches && !taken.contains_key(&index) {
                let addr = short(expansion, &action.addr);
                let what = if action.services.is_empty() {
                    format!("`{addr}` is of class `{}`", action.class)
                } else {
                    format!("`{addr}` uses a service")
                };
                failures.push(
                    Diagnostic::new(
                        Code::P0901,
                        self.test.name.span,
                        format!("test expectation failed: {what}, and nothing stands in for it"),
                    )
                    .with_secondary(action.span, "declared here")
                    .with_help(
                        "a test reaches nothing outside: `mock tool NAME { output … }` or `mock agent NAME { … }`",
                    ),
                );
            }
        }
        if failures.sorted().len() > before {
            return None;
        }
        Some(Trial { expansion: expansion.clone(), mocks, expects, span: self.test.name.span })
    }

    /// The actions that a mock is about.
    fn stands_in(&self, expansion: &Expansion, decl: &MockDecl) -> Vec<usize> {
        let kind = if decl.agent { DeclKind::Agent } else { DeclKind::Tool };
        let Some(id) = self.program.lookup(self.file, kind, &decl.name.value) else { return Vec::new() };
        let within = decl.at.as_ref().map(|at| instances(expansion, &at.value));
        let fits = |index: usize| {
            let action = &expansion.actions[index];
            if within
                .as_ref()
                .is_some_and(|all| !all.iter().any(|at| expansion.instances[*at].actions.contains(&index)))
            {
                return false;
            }
            if decl.agent {
                let name = &self.program.agent(id).name.value;
                let route = action.route.as_ref().filter(|route| route.kind == "agent");
                return route.is_some_and(|route| {
                    route.chosen == *name
                        || route.chosen.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
                });
            }
            let BodyIr::Exec { tool, .. } = &action.body else { return false };
            expansion.tools.get(tool).is_some_and(|ir| ir.of == ToolOf::Tool(id))
        };
        (0..expansion.actions.len()).filter(|index| fits(*index)).collect()
    }

    /// The bytes of a file beside the spec.
    fn beside(&self, file: &str) -> Result<Vec<u8>, String> {
        let folder = self.program.file(self.file).path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
        let path = RelPath::new(&joined).map_err(|error| error.to_string())?;
        self.world.read(&path).map_err(|error| error.to_string())
    }
}
