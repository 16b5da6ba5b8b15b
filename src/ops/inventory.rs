//! Inventories of bundles for nodes of the graph they are made from: the port of the executor, filled by what
//! makes the SBOMs of bundles. Leaves out what only the finished bundle knows: tools that come later, and what the
//! machine's package database says.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::bundle::{
    self, BundleFile, BundleSpec, CycloneDx, DEFAULT_EPOCH, Profile, ToolIdentity, ToolUse, inventory, read_lock,
};
use crate::exec::{Contents, Inventory};
use crate::plan::{Isolation, ToolExec};
use crate::store::Cas;

/// Makes inventories as CycloneDX documents.
pub(super) struct Inventories;

impl Inventory for Inventories {
    fn is_lock(&self, name: &str) -> bool {
        read_lock(name, "").is_some()
    }

    fn document(&self, contents: &Contents<'_>, cas: &dyn Cas) -> Result<Vec<u8>, String> {
        let sbom = contents.sbom;
        let mut components = Vec::new();
        for (path, text) in &contents.locks {
            let Some(locked) = read_lock(path.name(), text) else { continue };
            components.extend(locked.map_err(|error| format!("`{path}`: {error}"))?.components);
        }
        components.sort();
        components.dedup();
        let tools = contents.tools.iter().map(|(tool, identity)| {
            let (executable, own) = match &tool.exec {
                ToolExec::Lookup(name) => (name.clone(), None),
                ToolExec::Workspace(path) => (path.as_str().to_owned(), Some(sbom.tenant.clone())),
            };
            ToolUse {
                name: tool.name.clone(),
                version: identity.fingerprint.clone().unwrap_or_default(),
                supplier: tool.supplier.clone().or(own),
                executable,
                identity: match identity.fingerprint {
                    Some(_) => ToolIdentity::Fingerprint(identity.digest),
                    None => ToolIdentity::Executable(identity.digest),
                },
            }
        });
        let format = CycloneDx::of_word(&sbom.format);
        let spec = BundleSpec {
            name: sbom.bundle.clone(),
            version: sbom.version.clone(),
            tenant: sbom.tenant.clone(),
            // What follows is in no CycloneDX document; the name must be one all the same.
            graph: sbom.bundle.clone(),
            parameters: BTreeMap::new(),
            work: bundle::Work::default(),
            lock: None,
            packages: Vec::new(),
            source: None,
            plan: Digest::from_bytes([0; 32]),
            inputs: Vec::new(),
            isolation: Isolation::None,
            source_date_epoch: DEFAULT_EPOCH,
            files: contents
                .files
                .iter()
                .map(|(path, file)| {
                    (path.clone(), BundleFile { digest: file.digest, size: file.size, exec: file.exec })
                })
                .collect(),
            tools: tools.collect(),
            components,
            profile: Profile {
                cyclonedx: format.ok_or_else(|| format!("CycloneDX `{}` is not written", sbom.format))?,
                ..Profile::default()
            },
        };
        inventory(&spec, cas).map_err(|error: bundle::Error| error.to_string())
    }
}
