//! Versions of packages and the least version a spec asks for. Leaves out the choice among them.

use std::fmt;

/// An exact version, `1.3.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    /// Reads an exact version: three numbers, perhaps a pre-release.
    pub fn parse(text: &str) -> Option<Self> {
        let version = semver::Version::parse(text).ok()?;
        // Build metadata would give two names to one version.
        (version.build.is_empty() && text.len() <= 64).then_some(Self(version))
    }

    /// Reads the name of a tag, `v1.3.0`.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::parse(tag.strip_prefix('v')?)
    }

    /// The tag it is published under.
    pub fn tag(&self) -> String {
        format!("v{self}")
    }

    /// Whether the two promise the same: one major version; before 1.0, one minor version.
    pub fn agrees_with(&self, other: &Version) -> bool {
        self.0.major == other.0.major && (self.0.major > 0 || self.0.minor == other.0.minor)
    }

    /// Whether it is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The least version that will do, `1.3`: at least that, and of the same major version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minimum(Version);

impl Minimum {
    /// Reads `1`, `1.3` or `1.3.0`.
    pub fn parse(text: &str) -> Option<Self> {
        let zeros = match text.split(['-', '+']).next().unwrap_or_default().split('.').count() {
            1 if !text.contains(['-', '+']) => ".0.0",
            2 if !text.contains(['-', '+']) => ".0",
            _ => "",
        };
        Version::parse(&format!("{text}{zeros}")).map(Self)
    }

    /// At least this version.
    pub fn of(version: Version) -> Self {
        Self(version)
    }

    /// The version itself.
    pub fn version(&self) -> &Version {
        &self.0
    }

    /// Whether a version will do. A pre-release does only where one was asked for.
    pub fn admits(&self, version: &Version) -> bool {
        version >= &self.0 && version.agrees_with(&self.0) && (!version.is_prerelease() || self.0.is_prerelease())
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Minimum, Version};

    fn admits(minimum: &str, version: &str) -> bool {
        Minimum::parse(minimum).unwrap().admits(&Version::parse(version).unwrap())
    }

    #[test]
    fn a_minimum_admits_its_own_major_version() {
        assert!(admits("1.3", "1.3.0") && admits("1.3", "1.9.2") && admits("1", "1.0.0"));
        assert!(!admits("1.3", "1.2.9") && !admits("1.3", "2.0.0"));
        assert!(admits("0.9", "0.9.4") && !admits("0.9", "0.10.0"));
        assert!(!admits("1.3", "1.4.0-rc.1") && admits("1.4.0-rc.1", "1.4.0-rc.2"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1.x", "^1.3", ">=1", "1.2.3.4", "v1.2", "1.2.3+build", "-1", "1-rc"] {
            assert_eq!(Minimum::parse(text), None, "{text}");
        }
        assert_eq!(Version::of_tag("1.2.3"), None);
        assert_eq!(Version::of_tag("v1.2.3").unwrap().tag(), "v1.2.3");
        assert_eq!(Version::of_tag("v01.2.3"), None);
    }
}
