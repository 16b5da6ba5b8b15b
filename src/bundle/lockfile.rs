//! Packages out of lock files: `Cargo.lock` (versions 3 and 4) and `package-lock.json` (versions 2 and
//! 3). Leaves out which of them a build really used, and what depends on what.

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Deserialize;

use crate::bundle::error::Error;
use crate::bundle::spec::Component;

/// The packages of a `Cargo.lock` that come from elsewhere: those with a `source`. The file is
/// generated, one `key = "value"` per line, so that is all that is understood; anything else in a
/// `[[package]]` but its list of dependencies is an error rather than a guess.
pub fn parse_cargo_lock(text: &str) -> Result<Vec<Component>, Error> {
    let fail =
        |line: usize, why: &str| Error::Lock { kind: "Cargo", at: format!("line {}", line + 1), why: why.to_owned() };
    let mut packages: Vec<BTreeMap<&str, &str>> = Vec::new();
    let mut in_package = false;
    let mut in_list = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if in_list {
            in_list = line != "]";
        } else if line.is_empty() || line.starts_with('#') {
        } else if line == "[[package]]" {
            packages.push(BTreeMap::new());
            in_package = true;
        } else if line.starts_with('[') {
            in_package = false;
        } else if let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            if value.starts_with('[') {
                in_list = !value.ends_with(']');
            } else if in_package {
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                let value = value.filter(|value| !value.contains(['"', '\\']));
                let value = value.ok_or_else(|| fail(at, "a plain text in quotes is needed"))?;
                let package = packages.last_mut().expect("a package was begun");
                if package.insert(key, value).is_some() {
                    return Err(fail(at, "the key is there twice"));
                }
            }
        } else {
            return Err(fail(at, "neither a table nor a key with a value"));
        }
    }
    let mut found = Vec::new();
    for (at, package) in packages.iter().enumerate().filter(|(_, package)| package.contains_key("source")) {
        let get = |key: &str| {
            let missing =
                || Error::Lock { kind: "Cargo", at: format!("package {}", at + 1), why: format!("it has no `{key}`") };
            package.get(key).map(|value| (*value).to_owned()).ok_or_else(missing)
        };
        let checksum = package
            .get("checksum")
            .filter(|hex| HEXLOWER.decode(hex.as_bytes()).is_ok_and(|bytes| bytes.len() == 32))
            .map(|hex| ("SHA256".to_owned(), (*hex).to_owned()));
        let (name, version) = (get("name")?, get("version")?);
        // SPDX's supplier is who distributes a package: for a registry that is known, the registry.
        let public = package.get("source").is_some_and(|source| source.ends_with("/rust-lang/crates.io-index"));
        let supplier = public.then(|| "crates.io".to_owned());
        found.push(Component { kind: "cargo".to_owned(), name, version, checksum, supplier });
    }
    Ok(sorted(found))
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
        let public = package.resolved.is_some_and(|url| url.starts_with("https://registry.npmjs."));
        let supplier = public.then(|| "npm".to_owned());
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
