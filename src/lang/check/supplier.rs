//! The lint for tools without a supplier in a workspace that makes bundles: their SBOMs would lack one of the minimum
//! elements (NTIA, 2021). Of a tool that is known by its bytes the machine's package database may tell, and one of
//! the workspace is its owner's, so only those that are known by what they say of themselves are reported.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::lang::program::{FileId, Program};

/// Reports them. The standard library's are not its users' to mend.
pub(crate) fn check_suppliers(program: &Program, diagnostics: &mut Diagnostics) {
    if program.root_bundles().is_empty() {
        return;
    }
    for index in 0..program.files.len() {
        let file = program.file(FileId(index));
        if file.path.starts_with("<std>/") {
            continue;
        }
        for tool in file.decls.tools.iter().filter(|tool| tool.fingerprint.is_some() && tool.supplier.is_none()) {
            let name = &tool.name;
            diagnostics.push(
                Diagnostic::new(Code::P1009, name.span, format!("tool `{}` has no supplier", name.value))
                    .with_label("a bundle's SBOMs name it")
                    .with_help(format!("say who supplies it: `tool {} supplier=\"…\"`", name.value)),
            );
        }
    }
}
