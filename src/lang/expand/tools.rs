//! The tools that actions name, and the names they are known under in the plan. Leaves out what they
//! are on a machine.

use crate::lang::expand::Expander;
use crate::lang::ir::{ToolIr, ToolOf};
use crate::lang::program::{DeclId, DeclKind};

impl Expander<'_, '_> {
    /// The name of a tool in the plan; the tool and those it starts are added to the expansion.
    pub(super) fn plan_tool(&mut self, id: DeclId) -> String {
        if let Some(known) = self.tool_names.get(&id) {
            return known.clone();
        }
        let name = self.tool_name(id);
        self.tool_names.insert(id, name.clone());
        // A list of its own instead of recursion: tools may start each other in long chains.
        let mut todo = vec![(id, name.clone())];
        while let Some((id, name)) = todo.pop() {
            if self.tools.contains_key(&name) {
                continue;
            }
            let decl = self.program.tool(id);
            let mut uses: Vec<String> = Vec::new();
            for used in &decl.uses {
                let Some(used) = self.program.lookup(id.file, DeclKind::Tool, &used.value) else { continue };
                if used != id {
                    let name = self.tool_name(used);
                    uses.push(name.clone());
                    todo.push((used, name));
                }
            }
            uses.sort();
            uses.dedup();
            self.tools.insert(name, ToolIr { of: ToolOf::Tool(id), uses });
        }
        name
    }

    fn tool_name(&self, id: DeclId) -> String {
        self.program.plan_name(self.home, DeclKind::Tool, id)
    }
}
