//! The names by which other programs know what our documents are. Each is exact and frozen. Leaves
//! out the documents.

use crate::plan::Isolation;

/// The payload type of in-toto statements in DSSE envelopes.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The type of a statement (in-toto Attestation Framework v1).
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// SLSA provenance, every 1.x.
pub const PROVENANCE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// An SPDX 2.3 document as a predicate.
pub const SPDX_TYPE: &str = "https://spdx.dev/Document/v2.3";
/// A CycloneDX document as a predicate.
pub const CYCLONEDX_TYPE: &str = "https://cyclonedx.org/bom";
/// A person's consent to a plan.
pub const APPROVAL_TYPE: &str = "https://partita.example/approval/v1";
/// A signature of a plan file.
pub(super) const PLAN_TYPE: &str = "https://partita.example/plan/v1";
/// A trust policy that is signed itself.
pub(crate) const POLICY_TYPE: &str = "https://partita.example/trust-policy/v1";
/// A Sigstore bundle v0.3.
pub const SIGSTORE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// How to read `externalParameters`: a graph of a workspace, bundled under a name and a version.
pub const BUILD_TYPE: &str = "https://partita.example/build-types/graph/v1";
/// The schema of `META/manifest.json`.
pub const MANIFEST_SCHEMA: &str = "https://partita.example/schemas/bundle-manifest/v1";
/// Where the namespaces of our SPDX documents begin.
pub(crate) const SPDX_NAMESPACE: &str = "https://partita.example/spdx/";

/// The builder under an isolation: modes of differing security are different builders.
pub fn builder_id(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Full => "https://partita.example/builders/full/v1",
        Isolation::Landlock => "https://partita.example/builders/landlock/v1",
        Isolation::None => "https://partita.example/builders/none/v1",
    }
}

/// A package URL (purl-spec): `pkg:KIND/NAME@VERSION`, `/` in the name kept as separator.
pub fn purl(kind: &str, name: &str, version: &str) -> String {
    let name: Vec<String> = name.split('/').map(percent).collect();
    let version = if version.is_empty() { String::new() } else { format!("@{}", percent(version)) };
    format!("pkg:{kind}/{}{version}", name.join("/"))
}

/// RFC 3986 percent-encoding of everything but unreserved characters.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_encoded() {
        assert_eq!(purl("npm", "@a/b", "1.0+x"), "pkg:npm/%40a/b@1.0%2Bx");
        assert_eq!(purl("generic", "cc", ""), "pkg:generic/cc");
    }
}
