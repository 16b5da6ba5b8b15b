//! The templates of skills: files beside the spec that names them, of the workspace or of a package.
//! Leaves out what is in them: see `prompt`.

use crate::base::RelPath;
use crate::diag::{Code, Diagnostic};
use crate::lang::WorldError;
use crate::lang::ast::Name;
use crate::lang::load::Loader;
use crate::lang::program::{DeclId, FileId, PackageId};

impl Loader<'_> {
    /// Reads the templates of all skills.
    pub(super) fn read_prompts(&mut self) {
        for index in 0..self.program.files.len() {
            let file = FileId(index);
            for at in 0..self.program.file(file).decls.skills.len() {
                let id = DeclId { file, index: at };
                let decl = self.program.skill(id);
                if let Some(text) = &decl.text {
                    let prompt = (text.span.source, text.value.clone());
                    self.program.prompts.insert(id, prompt);
                } else if let Some(name) = decl.prompt.clone()
                    && let Some((path, text)) = self.prompt(file, &name)
                {
                    let source = self.program.sources.add(path, text);
                    let text = self.program.sources.file(source).text.to_string();
                    self.program.prompts.insert(id, (source, text));
                }
            }
        }
    }

    /// The file of the package of a spec, or of the workspace, that a name in it means.
    pub(super) fn beside(&mut self, file: FileId, name: &Name) -> Option<(Option<PackageId>, RelPath)> {
        let (package, from) = (self.program.file(file).package, self.program.file(file).path.clone());
        let from = self.inside(package, &from);
        let written = name.value.trim_start_matches("./");
        let beside =
            from.rsplit_once('/').map_or_else(|| written.to_owned(), |(folder, _)| format!("{folder}/{written}"));
        match RelPath::new(&beside) {
            Ok(path) => Some((package, path)),
            Err(error) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::P0507, name.span, error.to_string())
                        .with_help("write a path relative to the folder of this spec"),
                );
                None
            }
        }
    }

    /// A template: its path as shown, and its text.
    fn prompt(&mut self, file: FileId, name: &Name) -> Option<(String, String)> {
        let (package, path) = self.beside(file, name)?;
        let (code, message, help) = match self.bytes(package, &path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some((self.shown(package, path.as_str()), text)),
                Err(_) => (Code::P0315, format!("`{path}` is not UTF-8 text"), "a prompt is text"),
            },
            Err(WorldError::TooLarge) => (
                Code::P0001,
                format!("`{path}` is larger than 4 MiB"),
                "give data as an artifact, and keep the prompt short",
            ),
            Err(error) => (
                Code::P0205,
                format!("cannot read prompt `{path}`: {error}"),
                "paths of prompts are relative to the spec that names them",
            ),
        };
        self.diagnostics.push(Diagnostic::new(code, name.span, message).with_help(help));
        None
    }
}
