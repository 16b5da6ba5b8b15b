//! The inventory of a bundle as an action: which files the bundle will hold, under which name, and in
//! which format it is told. Leaves out the document itself, which a port makes.

use serde::{Deserialize, Serialize};

use crate::base::{RelPath, Value};

/// What the inventory of a bundle is made from, besides its inputs and tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// The bundle.
    pub bundle: String,
    /// Its version.
    pub version: String,
    /// Whose it is.
    pub tenant: String,
    /// The version of CycloneDX.
    pub format: String,
    /// What goes in, sorted.
    pub files: Vec<SbomFile>,
    /// Patterns of paths in the bundle that are left out.
    pub excludes: Vec<String>,
}

/// A file or folder of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SbomFile {
    /// Its path in the bundle.
    pub to: RelPath,
    /// Where it is staged.
    pub at: RelPath,
}

impl Sbom {
    /// The value that is keyed.
    pub(crate) fn keyed(&self) -> Value {
        let file = |file: &SbomFile| Value::texts([file.to.as_str(), file.at.as_str()]);
        let texts = [&self.bundle, &self.version, &self.tenant, &self.format];
        let mut parts: Vec<Value> = texts.into_iter().map(Value::text).collect();
        parts.push(Value::List(self.files.iter().map(file).collect()));
        parts.push(Value::texts(&self.excludes));
        Value::List(parts)
    }

    /// One line for people.
    pub fn shown(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(|file| file.to.as_str()).collect();
        let excludes: Vec<String> = self.excludes.iter().map(|pattern| format!(" without {pattern}")).collect();
        let (name, version, format) = (&self.bundle, &self.version, &self.format);
        format!("{name} {version} of {}: CycloneDX {format} of {}{}", self.tenant, files.join(" "), excludes.concat())
    }
}
