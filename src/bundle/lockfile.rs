//! Packages out of lock files: `Cargo.lock` (versions 3 and 4), `package-lock.json` (versions 2 and 3), `uv.lock`
//! and `requirements.txt`. Leaves out which of them a build really used, and what depends on what.

mod python;

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Deserialize;

use crate::bundle::error::Error;
use crate::bundle::spec::Component;

pub use python::{parse_requirements, parse_uv_lock};

/// What a lock file came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The packages, sorted.
    pub components: Vec<Component>,
    /// What stands in it and is no package with a version, as written: no SBOM can say what went in for it.
    pub open: Vec<String>,
}

/// Reads a lock file whose kind its name tells. `None`: it is none that is known.
pub fn read_lock(name: &str, text: &str) -> Option<Result<Locked, Error>> {
    let only = |components| Locked { components, open: Vec::new() };
    Some(match name {
        "Cargo.lock" => parse_cargo_lock(text).map(only),
        "package-lock.json" | "npm-shrinkwrap.json" => parse_package_lock(text).map(only),
        "uv.lock" => parse_uv_lock(text).map(only),
        _ => {
            let end = name.strip_prefix("requirements")?.strip_suffix(".txt")?;
            (end.is_empty() || end.starts_with(['-', '_', '.'])).then(|| Ok(parse_requirements(text)))?
        }
    })
}

#[derive(Deserialize)]
struct CargoLock {
    #[serde(default)]
    package: Vec<CargoPackage>,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// The packages of a `Cargo.lock` that come from elsewhere: those with a `source`.
pub fn parse_cargo_lock(text: &str) -> Result<Vec<Component>, Error> {
    let lock: CargoLock = from_toml("Cargo", text)?;
    let found = lock.package.into_iter().filter_map(|package| {
        let source = package.source?;
        let checksum = package.checksum.as_deref().and_then(sha256_of);
        // SPDX's supplier is who distributes a package: for a registry that is known, the registry.
        let supplier = if source.ends_with("/rust-lang/crates.io-index") {
            Some("crates.io".to_owned())
        } else {
            host_of(source.trim_start_matches("git+").trim_start_matches("registry+"))
        };
        Some(Component { kind: "cargo".to_owned(), name: package.name, version: package.version, checksum, supplier })
    });
    Ok(sorted(found.collect()))
}

fn from_toml<T: serde::de::DeserializeOwned>(kind: &'static str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::Lock { kind, at: format!("line {line}"), why: error.message().to_owned() }
    })
}

fn sha256_of(hex: &str) -> Option<(String, String)> {
    let fine = HEXLOWER.decode(hex.as_bytes()).is_ok_and(|bytes| bytes.len() == 32);
    fine.then(|| ("SHA256".to_owned(), hex.to_owned()))
}

/// The host of a URL: who supplies what lies there, as far as the URL tells.
fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

#[derive(Deserialize)]
struct NpmLock {
    #[serde(rename = "lockfileVersion")]
    version: u64,
    #[serde(default)]
    packages: BTreeMap<String, NpmPackage>,
}

#[derive(Deserialize)]
struct NpmPackage {
    name: Option<String>,
    version: Option<String>,
    integrity: Option<String>,
    resolved: Option<String>,
    #[serde(default)]
    link: bool,
}

/// The packages of a `package-lock.json` that come from elsewhere: those below `node_modules/`.
pub fn parse_package_lock(text: &str) -> Result<Vec<Component>, Error> {
    let fail = |at: String, why: String| Error::Lock { kind: "npm", at, why };
    let lock: NpmLock =
        serde_json::from_str(text).map_err(|error| fail(format!("line {}", error.line()), error.to_string()))?;
    if !(2..=3).contains(&lock.version) {
        return Err(fail("`lockfileVersion`".to_owned(), format!("{} is neither 2 nor 3", lock.version)));
    }
    let mut found = Vec::new();
    for (path, package) in lock.packages {
        let Some((_, last)) = path.rsplit_once("node_modules/") else { continue };
        if package.link {
            continue;
        }
        let name = package.name.unwrap_or_else(|| last.to_owned());
        let version = package.version.ok_or_else(|| fail(format!("`{path}`"), "it has no version".to_owned()))?;
        let checksum = package.integrity.as_deref().and_then(integrity);
        let supplier = match package.resolved.as_deref() {
            Some(url) if url.starts_with("https://registry.npmjs.") => Some("npm".to_owned()),
            Some(url) => host_of(url),
            None => None,
        };
        found.push(Component { kind: "npm".to_owned(), name, version, checksum, supplier });
    }
    Ok(sorted(found))
}

/// The strongest digest of a Subresource Integrity text, as SPDX writes it.
fn integrity(text: &str) -> Option<(String, String)> {
    let parts = text.split_whitespace().filter_map(|part| {
        let (algorithm, value) = part.split_once('-')?;
        let (rank, algorithm) = match algorithm {
            "sha512" => (512, "SHA512"),
            "sha384" => (384, "SHA384"),
            "sha256" => (256, "SHA256"),
            _ => return None,
        };
        let bytes = BASE64.decode(value.as_bytes()).ok().filter(|bytes| bytes.len() * 8 == rank)?;
        Some((rank, algorithm.to_owned(), HEXLOWER_PERMISSIVE.encode(&bytes)))
    });
    parts.max().map(|(_, algorithm, hex)| (algorithm, hex))
}

fn sorted(mut components: Vec<Component>) -> Vec<Component> {
    components.sort_unstable();
    components.dedup();
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::code::Code;

    #[test]
    fn cargo_lock() {
        let text = "# generated\nversion = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\
            checksum = \"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\"\ndependencies = [\"b\"]\n\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0-rc.1\"\nsource = \"git+x\"\n\n[metadata]\nx = 1\n";
        let found = parse_cargo_lock(text).unwrap();
        assert_eq!(
            found.iter().map(Component::purl).collect::<Vec<_>>(),
            ["pkg:cargo/a@1.0.0", "pkg:cargo/b@2.0.0-rc.1"]
        );
        assert_eq!(found[0].checksum.as_ref().unwrap().0, "SHA256");
        assert_eq!(found[1].checksum, None);
        for bad in ["[[package]]\nname = x\n", "[[package]]\nsource = \"s\"\n", "what\n"] {
            assert_eq!(parse_cargo_lock(bad).unwrap_err().code(), Code::B0115, "{bad}");
        }
        assert!(parse_cargo_lock(include_str!("../../Cargo.lock")).unwrap().len() > 50);
    }

    #[test]
    fn kinds_are_told_by_names() {
        let known = |name: &str| read_lock(name, "").is_some();
        for name in ["Cargo.lock", "package-lock.json", "uv.lock", "requirements.txt", "requirements-dev.txt"] {
            assert!(known(name), "{name}");
        }
        assert!(!known("requirementsx.txt") && !known("lock.json") && !known("requirements.in"));
    }

    #[test]
    fn package_lock() {
        let text = r#"{"lockfileVersion":3,"packages":{"":{"name":"own"},
            "node_modules/@s/a":{"version":"1.0.0","integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg== sha1-x"},
            "node_modules/@s/a/node_modules/b":{"version":"2.0.0"},
            "node_modules/own":{"link":true}}}"#;
        let found = parse_package_lock(text).unwrap();
        assert_eq!(found.iter().map(Component::purl).collect::<Vec<_>>(), ["pkg:npm/%40s/a@1.0.0", "pkg:npm/b@2.0.0"]);
        assert!(found[0].checksum.as_ref().unwrap().1.starts_with("cf83e1357eefb8bd"));
        assert_eq!(parse_package_lock("{\"lockfileVersion\":1}").unwrap_err().code(), Code::B0115);
        assert_eq!(parse_package_lock("[").unwrap_err().code(), Code::B0115);
    }
}
