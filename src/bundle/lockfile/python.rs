//! Packages out of Python's lock files: `uv.lock` (version 1) and requirements files as pip reads them, of which
//! only lines that pin a version say what went in. Leaves out markers: what one platform does not install is listed.

use serde::Deserialize;

use crate::bundle::error::Error;
use crate::bundle::lockfile::{Locked, from_toml, host_of, sha256_of, sorted};
use crate::bundle::spec::Component;

const INDEX: &str = "PyPI";

#[derive(Deserialize)]
struct UvLock {
    version: u64,
    #[serde(default)]
    package: Vec<UvPackage>,
}

#[derive(Deserialize)]
struct UvPackage {
    name: String,
    version: Option<String>,
    #[serde(default)]
    source: UvSource,
    sdist: Option<UvFile>,
    #[serde(default)]
    wheels: Vec<UvFile>,
}

#[derive(Default, Deserialize)]
struct UvSource {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct UvFile {
    hash: Option<String>,
}

/// The packages of a `uv.lock` that come from elsewhere: of a registry, a repository or an address.
pub fn parse_uv_lock(text: &str) -> Result<Vec<Component>, Error> {
    let lock: UvLock = from_toml("uv", text)?;
    if lock.version != 1 {
        let why = format!("{} is not 1", lock.version);
        return Err(Error::Lock { kind: "uv", at: "`version`".to_owned(), why });
    }
    let mut found = Vec::new();
    for package in lock.package {
        let source = package.source;
        let Some(from) = source.registry.or(source.git).or(source.url) else { continue };
        let Some(version) = package.version else {
            let why = "it has no version".to_owned();
            return Err(Error::Lock { kind: "uv", at: format!("`{}`", package.name), why });
        };
        let files = package.sdist.iter().chain(&package.wheels).filter_map(|file| file.hash.as_deref());
        found.push(component(&package.name, &version, only_hash(files), supplier_of(&from)));
    }
    Ok(sorted(found))
}

fn supplier_of(from: &str) -> Option<String> {
    let public = from.strip_prefix("https://pypi.").is_some_and(|rest| rest.trim_end_matches('/') == "org/simple");
    if public { Some(INDEX.to_owned()) } else { host_of(from) }
}

/// The name as PEP 503 has it, which package URLs want.
fn component(name: &str, version: &str, checksum: Option<(String, String)>, supplier: Option<String>) -> Component {
    let words: Vec<&str> = name.split(['-', '_', '.']).filter(|word| !word.is_empty()).collect();
    let name = words.join("-").to_lowercase();
    Component { kind: "pypi".to_owned(), name, version: version.to_owned(), checksum, supplier }
}

/// A digest, if there is one file only: of several it is not known which was taken.
fn only_hash<'a>(mut hashes: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    match (hashes.next(), hashes.next()) {
        (Some(hash), None) => sha256_of(hash.strip_prefix("sha256:")?),
        _ => None,
    }
}

/// The packages of a requirements file that have a version: `name==1.2`. Everything else is left open.
pub fn parse_requirements(text: &str) -> Locked {
    let mut locked = Locked::default();
    let mut supplier = Some(INDEX.to_owned());
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in joined.lines() {
        // A comment begins a line or follows a blank.
        let line = match line.find(" #") {
            Some(at) => &line[..at],
            None => line,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        match first.split('=').next().unwrap_or_default() {
            "-i" | "--index-url" => {
                let url = first.split_once('=').map(|(_, url)| url).or_else(|| words.next());
                supplier = url.and_then(supplier_of);
                continue;
            }
            // From several indexes: which one is not known.
            "--extra-index-url" | "-f" | "--find-links" => {
                supplier = None;
                continue;
            }
            "--require-hashes" | "--no-binary" | "--only-binary" | "--prefer-binary" | "--pre" => continue,
            _ => {}
        }
        match pinned(line) {
            Some((name, version)) => {
                let hashes = line.split_whitespace().filter_map(|word| word.strip_prefix("--hash="));
                locked.components.push(component(name, version, only_hash(hashes), supplier.clone()));
            }
            None => locked.open.push(line.to_owned()),
        }
    }
    locked.components = sorted(locked.components);
    locked
}

/// Name and version of `name[extra]==version ; marker --hash=…`.
fn pinned(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once("==")?;
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let name = name.split('[').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let version = rest.trim_start().split(|c: char| c.is_whitespace() || c == ';').next()?;
    let exact = !version.is_empty() && version.chars().all(|c| plain(c) || "+!".contains(c));
    (!name.is_empty() && name.chars().all(plain) && exact).then_some((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::code::Code;

    const ORG: &str = "org";
    const HASH: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    fn purls(components: &[Component]) -> Vec<String> {
        components.iter().map(Component::purl).collect()
    }

    #[test]
    fn uv() {
        let text = format!(
            "version = 1\nrevision = 3\nrequires-python = \">=3.12\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1\"\n\
             source = {{ virtual = \".\" }}\ndependencies = [{{ name = \"a\" }}]\n\n[[package]]\nname = \"A_b.c\"\nversion = \"1.0\"\n\
             source = {{ registry = \"https://pypi.{ORG}/simple\" }}\nsdist = {{ url = \"https://x/a.tar.gz\", hash = \"sha256:{HASH}\", size = 1 }}\n\n\
             [[package]]\nname = \"g\"\nversion = \"2.0\"\nsource = {{ git = \"https://git.example/g?rev=1#2\" }}\n"
        );
        let found = parse_uv_lock(&text).unwrap();
        assert_eq!(purls(&found), ["pkg:pypi/a-b-c@1.0", "pkg:pypi/g@2.0"]);
        assert_eq!(found[0].checksum.as_ref().unwrap().1, HASH);
        let suppliers: Vec<_> = found.iter().map(|one| one.supplier.as_deref().unwrap()).collect();
        assert_eq!(suppliers, ["PyPI", "git.example"]);
        for bad in ["version = 2\n", "[[package]]\n", "version = 1\n[[package]]\nname = 1\n", "x"] {
            assert_eq!(parse_uv_lock(bad).unwrap_err().code(), Code::B0115, "{bad}");
        }
    }

    #[test]
    fn requirements() {
        let text = format!(
            "# made by hand\n--require-hashes\nrequests[socks]==2.32.3 \\\n    --hash=sha256:{HASH}\nidna == 3.7 ; python_version > \"3\"  # why\n\
             loose>=1\n-r other.txt\n./local\nx @ https://e/x.whl\nstar==1.*\n"
        );
        let found = parse_requirements(&text);
        assert_eq!(purls(&found.components), ["pkg:pypi/idna@3.7", "pkg:pypi/requests@2.32.3"]);
        assert_eq!(found.components[1].checksum.as_ref().unwrap().1, HASH);
        assert_eq!(found.components[0].supplier.as_deref(), Some("PyPI"));
        assert_eq!(found.open, ["loose>=1", "-r other.txt", "./local", "x @ https://e/x.whl", "star==1.*"]);
        let other = parse_requirements("--index-url https://py.example/simple\na==1\n");
        assert_eq!(other.components[0].supplier.as_deref(), Some("py.example"));
        let mixed = parse_requirements("--extra-index-url=https://py.example/simple\na==1\n");
        assert_eq!(mixed.components[0].supplier, None);
    }
}
