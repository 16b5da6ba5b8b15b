//! Results to a signed, reproducible archive, and its verification. Leaves out how results came to be.
//!
//! ```text
//! NAME-VERSION.zip                 canonical stored ZIP: META/{SHA256SUMS,cyclonedx.json,manifest.json,spdx.json}, out/**
//! NAME-VERSION.zip.intoto.jsonl    DSSE envelopes: SLSA provenance, SPDX, CycloneDX
//! NAME-VERSION.zip.sigstore.json   the first of them as a Sigstore bundle v0.3
//! ```
//!
//! Arrows only point down: signature, statement, SHA-256 of the archive and of `META/SHA256SUMS`,
//! entries, bytes. Nothing in the archive names its own hash, a signature or a key.

mod approval;
mod audit;
mod bits;
mod build;
mod code;
mod compare;
mod content;
mod cyclonedx;
mod described;
mod dsse;
mod error;
mod folder;
mod hashes;
mod inspect;
mod json;
mod judge;
mod key;
mod layout;
mod lines;
mod lockfile;
mod manifest;
mod names;
mod plan_signature;
mod policy;
mod provenance;
mod sbom;
mod scan;
mod signed_policy;
mod spdx;
mod spec;
mod statement;
mod stream;
mod summary;
mod tlog;
mod transport;
mod uri;
mod verdict;
mod verify;
mod version;
mod writer;

pub use approval::{APPROVAL_BYTES, Consented, read_approval, sign_approval};
pub use audit::{
    Audit, AuditFinding, Compared, Coverage, Database, Severity, Vex, VexStatus, audit, hash_database, load_database,
    vex_document,
};
pub use build::{Built, BuiltFile, build, build_archive, inventory, proof_file, side_files};
pub use code::Code;
pub use compare::{Change, Parts};
pub use content::sha256_hex;
pub use dsse::{Envelope, EnvelopeSignature, pae};
pub use error::Error;
pub use inspect::{Inspected, InspectedTool, inspect, read_files, read_manifest};
pub use key::{
    Algorithm, KeyFiles, PrivateKey, PublicKey, Signer, check_key_name, generate_key, key_paths, write_public_key,
};
pub use lockfile::{Locked, parse_cargo_lock, parse_package_lock, parse_requirements, parse_uv_lock, read_lock};
pub use manifest::{BundleManifest, ContentRoot, ManifestFile};
pub use names::NameError;
pub use plan_signature::{PLAN_SIGNATURE_BYTES, check_plan, sign_plan};
pub use policy::{
    AllowedSource, LogRule, MinimumVersion, Place, Policy, Requirement, Revocation, TenantPolicy, TrustedBuilder,
    TrustedKey,
};
pub use signed_policy::{PolicyFiles, SIGNED_POLICY_BYTES, check_policy, policy_signatures, sign_policy};
pub use spec::{
    BundleFile, BundleSpec, Component, CycloneDx, DEFAULT_EPOCH, Dependency, GateUse, Profile, Role, Served, Source,
    SpecPackage, ToolIdentity, ToolUse, Work,
};
pub use summary::{
    BUILD_LEVEL_1, REPRODUCED, SUMMARY_TYPE, Summary, VULNS_TYPE, verification_summary, vulns_statement,
};
pub use tlog::{Checkpoint, Hash, Log, LogKey, LogState, TlogProof, consistent, entry_of, key_id, leaf_hash};
pub use transport::{compress, is_single, pack_single, unpack_single};
pub use uri::{
    APPROVAL_TYPE, BUILD_TYPE, CYCLONEDX_TYPE, MANIFEST_SCHEMA, PAYLOAD_TYPE, PROVENANCE_TYPE, SIGSTORE_MEDIA_TYPE,
    SPDX_TYPE, STATEMENT_TYPE, builder_id, purl,
};
pub use verdict::{Check, CheckName, Facts, Refusal, Status, Verdict, VerifyLimits};
pub use verify::{VerifyOptions, verify, verify_extracted};
