//! What differs between two bundles, or between a bundle and what was made again: files, tools, inputs,
//! packages, parameters. Leaves out who signed.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::inspect::Inspected;
use crate::bundle::manifest::BundleManifest;
use crate::bundle::spec::{BundleSpec, ToolIdentity};

/// Something that is in one and not, or not so, in the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind of thing: `file`, `role`, `tool`, `input`, `package`, `parameter` or `bundle`.
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// What it was, if it was.
    pub before: Option<String>,
    /// What it is, if it is.
    pub after: Option<String>,
}

/// All that is compared, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    parts: BTreeMap<(&'static str, String), String>,
}

impl Parts {
    fn add(&mut self, kind: &'static str, name: impl Into<String>, value: impl Into<String>) {
        self.parts.insert((kind, name.into()), value.into());
    }

    fn manifest(manifest: &BundleManifest) -> Self {
        let mut parts = Self::default();
        for (name, value) in [
            ("name", &manifest.name),
            ("version", &manifest.version),
            ("tenant", &manifest.tenant),
            ("graph", &manifest.graph),
            ("plan", &manifest.plan_hash),
        ] {
            parts.add("bundle", name, value);
        }
        if let Some(level) = manifest.level {
            parts.add("bundle", "level", level.to_string());
        }
        for (path, role) in &manifest.roles {
            parts.add("role", path, role.word());
        }
        for file in &manifest.files {
            parts.add("file", &file.path, format!("sha256:{} {} bytes {}", file.sha256, file.size, file.mode));
        }
        parts
    }

    /// Those of a bundle.
    pub fn of(inspected: &Inspected) -> Self {
        let mut parts = Self::manifest(&inspected.manifest);
        parts.add("bundle", "builder", &inspected.builder);
        for tool in &inspected.tools {
            parts.tool(&tool.name, &tool.version, &tool.identity);
        }
        for (path, digest) in &inspected.inputs {
            parts.add("input", path, digest);
        }
        for component in &inspected.components {
            parts.package(&component.kind, &component.name, &component.version);
        }
        for (name, value) in &inspected.parameters {
            parts.add("parameter", name, value);
        }
        parts
    }

    /// Those of what was made again: the spec, and the manifest of its archive. The builder is another by
    /// right, so it is taken from the bundle it is compared with.
    pub fn of_spec(spec: &BundleSpec, manifest: &BundleManifest, builder: &str) -> Self {
        let mut parts = Self::manifest(manifest);
        parts.add("bundle", "builder", builder);
        for tool in &spec.tools {
            let (ToolIdentity::Executable(identity) | ToolIdentity::Fingerprint(identity)) = tool.identity;
            parts.tool(&tool.name, tool.version_line(), &identity.hex());
        }
        for input in &spec.inputs {
            let digest = input.digests.get("blake3").or_else(|| input.digests.values().next());
            parts.add("input", &input.name, digest.map_or("", String::as_str));
        }
        for component in &spec.components {
            parts.package(&component.kind, &component.name, &component.version);
        }
        for (name, value) in &spec.parameters {
            parts.add("parameter", name, value);
        }
        parts
    }

    fn tool(&mut self, name: &str, version: &str, identity: &str) {
        let version = if version.is_empty() { String::new() } else { format!("{version}, ") };
        self.add("tool", name, format!("{version}b3:{identity}"));
    }

    /// One package may be there in several versions.
    fn package(&mut self, kind: &str, name: &str, version: &str) {
        let versions = self.parts.entry(("package", format!("{kind}:{name}"))).or_default();
        if !versions.is_empty() {
            versions.push_str(", ");
        }
        versions.push_str(version);
    }

    /// What is different in another, by kind and name.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let keys: BTreeSet<_> = self.parts.keys().chain(after.parts.keys()).collect();
        keys.into_iter()
            .filter(|key| self.parts.get(*key) != after.parts.get(*key))
            .map(|key| Change {
                kind: key.0,
                name: key.1.clone(),
                before: self.parts.get(key).cloned(),
                after: after.parts.get(key).cloned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_and_nothing_else() {
        let (mut a, mut b) = (Parts::default(), Parts::default());
        a.add("file", "same", "1");
        b.add("file", "same", "1");
        a.add("file", "gone", "1");
        b.add("file", "new", "1");
        a.tool("cc", "12", "aa");
        b.tool("cc", "13", "bb");
        a.package("cargo", "x", "1.0.0");
        b.package("cargo", "x", "1.0.0");
        b.package("cargo", "x", "2.0.0");
        let found: Vec<(String, Option<String>, Option<String>)> =
            a.changes(&b).into_iter().map(|change| (change.name, change.before, change.after)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("gone".to_owned(), text("1"), None),
                ("new".to_owned(), None, text("1")),
                ("cargo:x".to_owned(), text("1.0.0"), text("1.0.0, 2.0.0")),
                ("cc".to_owned(), text("12, b3:aa"), text("13, b3:bb")),
            ]
        );
        assert_eq!(a.changes(&a.clone()), []);
    }
}
