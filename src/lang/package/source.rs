//! Where a package comes from: a git repository by its URL, or a folder of the workspace. The text of a
//! URL is a stranger's and is handed to a program, so that only forms that are known are let through.
//! Leaves out fetching.

use std::fmt;

use crate::base::RelPath;

/// The identity of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A git repository: a URL, or a path relative to the workspace that begins with `./` or `../`.
    Git(String),
    /// A folder of the workspace.
    Dir(RelPath),
}

/// Schemes that are fetched over, all of which authenticate the other side or are local.
const SCHEMES: &[&str] = &["https", "ssh", "file"];

/// Bytes of a URL.
const URL_BYTES: usize = 2_048;

impl Source {
    /// Reads the URL or path of a repository. The error says what is wrong with it.
    pub fn git(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES {
            return Err(format!("it is longer than {URL_BYTES} bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("it holds a blank or a control character".to_owned());
        }
        let text = if text.len() > 1 { text.trim_end_matches('/') } else { text };
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
            return Ok(Self::Git(text.to_owned()));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if !SCHEMES.contains(&scheme) {
            return Err(format!("a repository is reached by {}, or by a path that begins with `./`", list(SCHEMES)));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let fine = match scheme {
            "file" => authority.is_empty() && !path.is_empty(),
            _ => !host.is_empty() && !path.is_empty(),
        };
        if !fine || host.starts_with('-') || user.starts_with('-') {
            return Err("it names no host and path".to_owned());
        }
        if user.contains(':') {
            return Err("a password does not belong in a spec: leave it to git's credential helpers".to_owned());
        }
        Ok(Self::Git(text.to_owned()))
    }

    /// Reads what [`Source`] displays as.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("git+") {
            Some(url) => Self::git(url).ok().filter(|source| source.to_string() == text),
            None => RelPath::new(text.strip_prefix("./")?).ok().map(Self::Dir),
        }
    }

    /// Whether it comes from outside the workspace.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Git(_))
    }

    /// Whether it lies on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Git(url) => url.starts_with(['/', '.']) || url.starts_with("file:"),
            Self::Dir(_) => true,
        }
    }
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}://`")).collect();
    quoted.join(", ")
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(url) => write!(f, "git+{url}"),
            Self::Dir(path) => write!(f, "./{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn only_known_forms_of_urls_are_let_through() {
        for fine in [
            "https://git.example.org/flow/gates",
            "ssh://git@git.example.org:22/flow/gates.git",
            "file:///srv/git/gates.git",
            "../gates",
            "/srv/gates",
        ] {
            let source = Source::git(fine).unwrap();
            assert_eq!(Source::parse(&source.to_string()), Some(source));
        }
        for wrong in [
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "--upload-pack=touch",
            "-u",
            "http://git.example.org/x",
            "git://git.example.org/x",
            "https://",
            "https://host",
            "ssh://-oProxyCommand=touch/x",
            "ssh://-o@host/x",
            "https://me:secret@git.example.org/x",
            "https://git.example.org/x y",
            "https://git.example.org/x\n",
            "file://host/x",
            "git@git.example.org:flow/gates",
            "",
        ] {
            assert!(Source::git(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_slash_at_the_end_is_no_other_repository() {
        assert_eq!(Source::git("https://git.example.org/x/"), Source::git("https://git.example.org/x"));
    }
}
