//! The arguments of the verbs about bundles, keys, audits and logs. Leaves out what they do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::{IsolationArg, RunOptions};

/// `bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The bundle; without it, it tells which there are
    pub(crate) name: Option<String>,
    /// Where to put it; else `bundles` in the outputs' folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) transport: TransportArgs,
}

/// Other forms in which a bundle is written, for sending it.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct TransportArgs {
    /// Write all its files as one as well: NAME-VERSION.bundle.zip
    #[arg(long)]
    pub(crate) single: bool,
    /// Write the archive compressed as well: NAME-VERSION.zip.zst
    #[arg(long)]
    pub(crate) zst: bool,
}

/// Where the specs of a bundle come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// The repository the workspace is checked out from, for the provenance: `git+https://…`; all that goes in
    /// must be as it is in the commit
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
    /// The branch or tag of it, as `refs/heads/main`
    #[arg(long, value_name = "REF", requires = "source")]
    pub(crate) source_ref: Option<String>,
}

impl SourceArgs {
    /// The repository and the ref.
    pub(crate) fn given(&self) -> Option<(&str, Option<&str>)> {
        self.source.as_deref().map(|source| (source, self.source_ref.as_deref()))
    }
}

/// `deliver`.
#[derive(Debug, Args)]
pub(crate) struct DeliverArgs {
    /// The bundle; without it, it tells which there are
    pub(crate) name: Option<String>,
    /// Where to put it; else `bundles` in the outputs' folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: RunOptions,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) transport: TransportArgs,
    /// Look for known vulnerabilities too, in this folder of OSV data
    #[arg(long, value_name = "DIR")]
    pub(crate) osv_db: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scan: ScanArgs,
}

/// `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The bundle, which must have been made; without it, it tells which there are
    pub(crate) name: Option<String>,
    /// Where the bundle lies; else `bundles` in the outputs' folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// The run to tell of; else the last successful one of the bundle's plan
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
}

/// By what a bundle is judged.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The policy, a KDL file; else the bundle must be signed by a key of this workspace
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A key that must have signed the policy, a file; may be given several times
    #[arg(long, value_name = "FILE", requires = "policy")]
    pub(crate) policy_key: Vec<PathBuf>,
    /// How many of those keys must have; else all
    #[arg(long, value_name = "N", requires = "policy_key", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) policy_threshold: Option<u8>,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The archive, `NAME-VERSION.zip`, with its signatures beside it
    pub(crate) file: PathBuf,
    /// Verify this folder, into which the archive was extracted, in place of the archive, which need not exist
    #[arg(long, value_name = "DIR", conflicts_with = "vsa")]
    pub(crate) extracted: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Write the answer to this file as a verification summary, signed by a key of this workspace
    #[arg(long, value_name = "FILE")]
    pub(crate) vsa: Option<PathBuf>,
    /// The key that signs the summary
    #[arg(long, value_name = "NAME", default_value = "default", requires = "vsa")]
    pub(crate) key: String,
}

/// `rebuild`.
#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The bundle's archive
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Write to this file, if it came out the same, a signed statement that says so
    #[arg(long, value_name = "FILE")]
    pub(crate) vsa: Option<PathBuf>,
    /// The key that signs the statement
    #[arg(long, value_name = "NAME", default_value = "default", requires = "vsa")]
    pub(crate) key: String,
    /// The least isolation actions run under
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) isolation: Option<IsolationArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlgorithmArg {
    /// Ed25519
    Ed25519,
    /// ECDSA over P-256 with SHA-256
    P256,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key pair: NAME.key.pem and NAME.pub.pem
    Generate {
        /// The name
        name: String,
        /// Where; else `keys` in the state directory
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// The algorithm
        #[arg(long, value_enum, default_value_t = AlgorithmArg::Ed25519, value_name = "ALGORITHM")]
        algorithm: AlgorithmArg,
        /// Encrypt the private key with the passphrase that this variable of the environment holds
        #[arg(long, value_name = "VARIABLE")]
        passphrase_env: Option<String>,
    },
    /// Add a key whose private half is kept elsewhere
    Add {
        /// The name
        name: String,
        /// Its public key, SPKI in PEM
        #[arg(long, value_name = "FILE")]
        public: PathBuf,
        /// Where; else `keys` in the state directory
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// The variable of the environment that holds the private key in PEM when something is signed
        #[arg(long, value_name = "NAME", conflicts_with = "command", required_unless_present = "command")]
        variable: Option<String>,
        /// The program that signs, and its arguments: what is to be signed comes on its standard input, the
        /// signature alone goes to its standard output
        #[arg(last = true, value_name = "PROGRAM")]
        command: Vec<String>,
    },
    /// Show the public keys of this workspace
    Show {
        /// Only this one
        name: Option<String>,
    },
    /// Sign a trust policy and the key files it names, as a verifier may demand: FILE.intoto.jsonl
    SignPolicy {
        /// The policy, a KDL file
        file: PathBuf,
        /// A key that signs it, one that the policy does not trust with bundles; may be given several times
        #[arg(long, value_name = "NAME", required = true)]
        key: Vec<String>,
    },
    /// Write a public key, SPKI in PEM
    Export {
        /// The key
        name: String,
        /// To this file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    /// From low on
    Low,
    /// From medium on
    Medium,
    /// From high on
    High,
    /// Critical alone
    Critical,
    /// Not at all
    Never,
}

/// How to look for vulnerabilities.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScanArgs {
    /// An OpenVEX document that says what concerns the bundle; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) vex: Vec<PathBuf>,
    /// From which severity on an open finding is refused; what has none counts as every one
    #[arg(long, value_enum, default_value_t = SeverityArg::High, value_name = "SEVERITY")]
    pub(crate) fail_on: SeverityArg,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The bundle's archive
    pub(crate) file: PathBuf,
    /// A folder of OSV data: records as JSON, or exports named `all.zip`
    #[arg(long, value_name = "DIR")]
    pub(crate) osv_db: PathBuf,
    #[command(flatten)]
    pub(crate) scan: ScanArgs,
    /// Write an OpenVEX document about what was found, to be filled in
    #[arg(long, value_name = "FILE")]
    pub(crate) vex_out: Option<PathBuf>,
    /// Write what was found to this file as a statement signed by a key of this workspace
    #[arg(long, value_name = "FILE")]
    pub(crate) attest: Option<PathBuf>,
    /// The key that signs the statement
    #[arg(long, value_name = "NAME", default_value = "default", requires = "attest")]
    pub(crate) key: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlogCommand {
    /// Append a bundle to a log, and write the proof beside its archive
    Append {
        /// The folder of the log, made if missing
        dir: PathBuf,
        /// The bundle's archive
        file: PathBuf,
        /// The key of the log, one that signs nothing else
        #[arg(long, value_name = "NAME")]
        key: String,
        /// The name of a new log: a URL without its scheme
        #[arg(long, value_name = "NAME")]
        origin: Option<String>,
    },
    /// Check a log: its signature, every entry and every tile
    Check {
        /// The folder of the log
        dir: PathBuf,
        /// The log's public key, a file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// An earlier checkpoint or proof: the log must still begin with what it said
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
    },
    /// Write the proof that a log holds a bundle beside its archive
    Prove {
        /// The folder of the log
        dir: PathBuf,
        /// The bundle's archive
        file: PathBuf,
        /// The log's public key, a file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}
