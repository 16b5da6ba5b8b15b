//! SLSA provenance v1, the predicate of one of a bundle's statements. Read strictly: a field that is not known is
//! refused. Formats: SLSA v1 (Build: Provenance), in-toto Attestation Framework v1 (ResourceDescriptor). Leaves out
//! statements, envelopes and judgement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::spec::{BundleSpec, Dependency, GateUse, Role, Served, SpecPackage, ToolIdentity, ToolUse};
use crate::bundle::uri;

/// SLSA provenance v1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    #[serde(rename = "buildDefinition")]
    pub(crate) build: BuildDefinition,
    #[serde(rename = "runDetails")]
    pub(crate) run: RunDetails,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildDefinition {
    #[serde(rename = "buildType")]
    pub(crate) build_type: String,
    #[serde(rename = "externalParameters")]
    pub(crate) external: ExternalParameters,
    #[serde(rename = "internalParameters")]
    pub(crate) internal: InternalParameters,
    #[serde(rename = "resolvedDependencies")]
    pub(crate) dependencies: Vec<Resource>,
}

/// All that was asked for from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalParameters {
    pub(crate) tenant: String,
    pub(crate) graph: String,
    pub(crate) bundle: BundleName,
    /// The graph's parameters as they were given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) spec: Option<SpecSource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BundleName {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) level: Option<u64>,
    /// What files are for, by their paths below `out/`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) roles: BTreeMap<String, Role>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpecSource {
    pub(crate) repository: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub(crate) reference: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InternalParameters {
    #[serde(rename = "partita_planHash")]
    pub(crate) plan_hash: String,
    /// The size of the archive in bytes, so that a compressed one is unpacked no further.
    #[serde(rename = "partita_archiveSize")]
    pub(crate) archive_size: u64,
    /// The root digest of the lock file, where the specs rest on packages of others.
    #[serde(rename = "partita_lockRoot", skip_serializing_if = "Option::is_none", default)]
    pub(crate) lock_root: Option<String>,
    /// The gates that were passed.
    #[serde(rename = "partita_gates", skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) gates: Vec<GateUse>,
    /// Who was chosen for what.
    #[serde(rename = "partita_served", skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) served: Vec<Served>,
}

/// Something that went in: an in-toto ResourceDescriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) digest: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunDetails {
    pub(crate) builder: Builder,
    pub(crate) metadata: RunMetadata,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Builder {
    pub(crate) id: String,
}

/// No times: the signed bundle is the same on every rebuild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunMetadata {
    #[serde(rename = "invocationId")]
    pub(crate) invocation_id: String,
}

impl ExternalParameters {
    pub(crate) fn new(spec: &BundleSpec) -> Self {
        Self {
            tenant: spec.tenant.clone(),
            graph: spec.graph.clone(),
            bundle: BundleName {
                name: spec.name.clone(),
                version: spec.version.clone(),
                level: spec.profile.level,
                roles: spec.profile.roles.clone(),
            },
            parameters: spec.parameters.clone(),
            spec: spec.source.as_ref().map(|source| SpecSource {
                repository: source.repository.clone(),
                reference: source.reference.clone(),
            }),
        }
    }
}

impl Provenance {
    pub(crate) fn new(spec: &BundleSpec, archive_size: u64) -> Self {
        let mut dependencies = Vec::new();
        if let Some(source) = &spec.source {
            let at = source.reference.as_ref().map_or_else(String::new, |reference| format!("@{reference}"));
            let digest = source.commit.iter().map(|commit| ("gitCommit".to_owned(), commit.clone())).collect();
            dependencies.push(Resource {
                name: Some("spec".to_owned()),
                uri: Some(format!("{}{at}", source.repository)),
                digest,
                annotations: BTreeMap::new(),
            });
        }
        dependencies.extend(spec.tools.iter().map(tool_resource));
        dependencies.extend(spec.packages.iter().map(package_resource));
        dependencies.extend(spec.inputs.iter().map(input_resource));
        Self {
            build: BuildDefinition {
                build_type: uri::BUILD_TYPE.to_owned(),
                external: ExternalParameters::new(spec),
                internal: InternalParameters {
                    plan_hash: spec.plan.hex(),
                    archive_size,
                    lock_root: spec.lock.clone(),
                    gates: spec.work.gates.clone(),
                    served: spec.work.served.clone(),
                },
                dependencies,
            },
            run: RunDetails {
                builder: Builder { id: uri::builder_id(spec.isolation).to_owned() },
                metadata: RunMetadata { invocation_id: spec.plan.hex() },
            },
        }
    }

    /// Reads a predicate; everything in it must be known.
    pub(crate) fn parse(predicate: &Value) -> Result<Self, String> {
        let provenance = Self::deserialize(predicate).map_err(|error| error.to_string())?;
        if provenance.build.build_type != uri::BUILD_TYPE {
            return Err(format!("its build type is `{}`, not `{}`", provenance.build.build_type, uri::BUILD_TYPE));
        }
        if provenance.run.metadata.invocation_id != provenance.build.internal.plan_hash {
            return Err("its invocation is not its plan".to_owned());
        }
        Ok(provenance)
    }
}

fn tool_resource(tool: &ToolUse) -> Resource {
    let mut digest = BTreeMap::new();
    let mut annotations = BTreeMap::from([
        ("partita_executable".to_owned(), tool.executable.clone()),
        ("partita_role".to_owned(), "tool".to_owned()),
    ]);
    match tool.identity {
        ToolIdentity::Executable(identity) => digest.insert("blake3".to_owned(), identity.hex()),
        ToolIdentity::Fingerprint(identity) => annotations.insert("partita_fingerprint".to_owned(), identity.hex()),
    };
    Resource { name: Some(tool.name.clone()), uri: Some(tool.purl()), digest, annotations }
}

fn package_resource(package: &SpecPackage) -> Resource {
    let mut annotations = BTreeMap::from([
        ("partita_role".to_owned(), "package".to_owned()),
        ("partita_version".to_owned(), package.version.clone()),
    ]);
    if !package.grants.is_empty() {
        annotations.insert("partita_granted".to_owned(), package.grants.join(" "));
    }
    Resource {
        name: Some(package.name.clone()),
        uri: Some(package.source.clone()),
        digest: BTreeMap::from([("blake3".to_owned(), package.tree.clone())]),
        annotations,
    }
}

fn input_resource(input: &Dependency) -> Resource {
    Resource {
        name: Some(input.name.clone()),
        uri: input.uri.clone(),
        digest: input.digests.clone(),
        annotations: BTreeMap::from([("partita_role".to_owned(), "input".to_owned())]),
    }
}
