//! Every environment variable that Partita reads, declared once; read here and nowhere else, and
//! only by a front. Leaves out the environment given to actions, which is a function of the plan.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// One variable, with its documentation for the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// The name.
    pub name: &'static str,
    /// One line on what it does.
    pub doc: &'static str,
}

/// Variables that are handed, unkeyed, to actions that may use the network: proxies and the files
/// of certificate authorities (the same idea as Nix's `impureEnvVars`).
pub const NETWORK_PASS: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "PIP_INDEX_URL",
];

/// A snapshot of the process environment, taken once by a front and passed down.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    vars: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The store directory.
    pub const STORE: EnvVar = EnvVar { name: "PARTITA_STORE", doc: "the store directory; `--store` wins" };
    /// The state directory.
    pub const STATE: EnvVar = EnvVar { name: "PARTITA_STATE", doc: "the state directory; `--state` wins" };
    /// Whether a request may be answered from memory.
    pub const MEMO: EnvVar =
        EnvVar { name: "PARTITA_MEMO", doc: "`off`: no `run` is answered from the memory of the last one" };
    /// The level of isolation where none is asked for.
    pub const ISOLATION: EnvVar = EnvVar {
        name: "PARTITA_ISOLATION",
        doc: "the isolation that actions run under unless `--isolation` says: `full`, `landlock`, `none`",
    };
    /// The key that signs results.
    pub const WRITER: EnvVar =
        EnvVar { name: "PARTITA_WRITER", doc: "the key of the workspace that signs what is recorded in the store" };
    /// Whose results count.
    pub const WRITERS: EnvVar = EnvVar {
        name: "PARTITA_WRITERS",
        doc: "a folder of public keys, `NAME.pub.pem`: only results that one of them signed count",
    };
    /// How many of them must agree.
    pub const WRITERS_AGREE: EnvVar = EnvVar {
        name: "PARTITA_WRITERS_AGREE",
        doc: "how many of `PARTITA_WRITERS` must have signed the same result; 1 if unset",
    };
    /// Where results are recorded apart.
    pub const OVERLAY: EnvVar = EnvVar {
        name: "PARTITA_OVERLAY",
        doc: "the overlay of the store that results are recorded in, and found in by nobody else",
    };
    /// Log filter for developers.
    pub const LOG: EnvVar =
        EnvVar { name: "PARTITA_LOG", doc: "developer log filter on standard error, as `partita=debug`" };
    /// The passphrase of encrypted signing keys.
    pub const KEY_PASSPHRASE: EnvVar =
        EnvVar { name: "PARTITA_KEY_PASSPHRASE", doc: "the passphrase that opens encrypted signing keys" };
    /// No colour.
    pub const NO_COLOR: EnvVar = EnvVar { name: "NO_COLOR", doc: "any value: no colour (no-color.org)" };
    /// No pictures.
    pub const NO_GRAPHICS: EnvVar =
        EnvVar { name: "NO_GRAPHICS", doc: "any value but `0`: diagnostics in words, as `--message-format narrated`" };
    /// Running in CI.
    pub const CI: EnvVar = EnvVar {
        name: "CI",
        doc: "any value: plain progress lines, `--locked` and `--offline`, unless said otherwise",
    };
    /// The date in documents.
    pub const SOURCE_DATE_EPOCH: EnvVar = EnvVar {
        name: "SOURCE_DATE_EPOCH",
        doc: "the date in the documents of a bundle, in seconds since 1970; 1980-01-01 if unset",
    };
    /// Where tools are looked up.
    pub const PATH: EnvVar = EnvVar { name: "PATH", doc: "where the executables of tools are looked up" };
    /// The home directory.
    pub const HOME: EnvVar = EnvVar { name: "HOME", doc: "holds `.cache`, which stands in for `XDG_CACHE_HOME`" };
    /// The user's cache directory.
    pub const XDG_CACHE_HOME: EnvVar = EnvVar {
        name: "XDG_CACHE_HOME",
        doc: "the user's cache directory: parent of the default store and of parsed specs",
    };

    /// The user's directory of what must not be lost.
    pub const XDG_STATE_HOME: EnvVar = EnvVar {
        name: "XDG_STATE_HOME",
        doc: "the user's directory for what was seen, as epochs of trust policies; else `.local/state` of `HOME`",
    };

    /// All variables that Partita itself reads.
    pub const ALL: &[EnvVar] = &[
        Self::STORE,
        Self::STATE,
        Self::MEMO,
        Self::ISOLATION,
        Self::WRITER,
        Self::WRITERS,
        Self::WRITERS_AGREE,
        Self::OVERLAY,
        Self::KEY_PASSPHRASE,
        Self::LOG,
        Self::NO_COLOR,
        Self::NO_GRAPHICS,
        Self::CI,
        Self::SOURCE_DATE_EPOCH,
        Self::PATH,
        Self::HOME,
        Self::XDG_CACHE_HOME,
        Self::XDG_STATE_HOME,
    ];

    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self { vars: std::env::vars_os().collect() }
    }

    /// An environment for tests.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self { vars: pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect() }
    }

    /// The user's cache directory: `XDG_CACHE_HOME` if it is absolute, else `.cache` of the home directory.
    pub fn user_cache(&self) -> Option<PathBuf> {
        self.get(Self::XDG_CACHE_HOME)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| self.get(Self::HOME).map(|home| PathBuf::from(home).join(".cache")))
    }

    /// The user's directory of what must not be lost: `XDG_STATE_HOME` if it is absolute, else `.local/state` of the
    /// home directory.
    pub fn user_state(&self) -> Option<PathBuf> {
        self.get(Self::XDG_STATE_HOME)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| self.get(Self::HOME).map(|home| PathBuf::from(home).join(".local/state")))
    }

    /// The value of a variable that Partita reads; an empty value counts as unset.
    pub fn get(&self, var: EnvVar) -> Option<&OsString> {
        self.raw(var.name)
    }

    /// The value of a variable that a spec names (`pass-env`, secrets); empty counts as unset.
    pub fn raw(&self, name: &str) -> Option<&OsString> {
        self.vars.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty())
    }
}
