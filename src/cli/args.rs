//! The command line as clap sees it. Leaves out what commands do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::bundle_args::{
    AuditArgs, BundleArgs, DeliverArgs, KeyCommand, RebuildArgs, ReportArgs, TlogCommand, VerifyArgs,
};

/// Compiles KDL specs into a content-addressed plan and runs only what is not already known.
#[derive(Debug, Parser)]
#[command(name = "partita", version, about, long_about = None, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The workspace; else the nearest folder at or above the current one with a `partita.kdl`
    #[arg(short = 'C', long = "workspace", value_name = "DIR", global = true)]
    pub(crate) workspace: Option<PathBuf>,
    /// The store of results and their contents [env: PARTITA_STORE]; else the user's cache directory
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// Runs, history and keys [env: PARTITA_STATE]; else `.partita` in the workspace
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// A value for a parameter of the graph, as `n=3`, `b=true`, `list=a,b`; may be given several times
    #[arg(short = 'p', value_name = "NAME=VALUE", global = true)]
    pub(crate) params: Vec<String>,
    /// The tenant that owns runs, else the one that the graph names; whom a bundle must be for, else the one it is of
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) tenant: Option<String>,
    /// Packages must be as `partita.lock` has them, those in the workspace too [default: true if CI is set]
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) locked: Option<bool>,
    /// Fetch nothing [default: true if CI is set]
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) offline: Option<bool>,
    /// How many actions may run at once; else as many as there are processors
    #[arg(short = 'j', long = "jobs", value_name = "N", global = true)]
    pub(crate) jobs: Option<usize>,
    /// How data is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    pub(crate) format: Option<Format>,
    /// How diagnostics are written
    #[arg(long, value_enum, default_value_t = Messages::Human, value_name = "FORMAT", global = true)]
    pub(crate) message_format: Messages,
    /// Say this warning, or all `warnings`; may be given several times
    #[arg(short = 'W', long = "warn", value_name = "CODE", global = true)]
    pub(crate) warn: Vec<String>,
    /// Make an error of this warning, or of all `warnings`
    #[arg(short = 'D', long = "deny", value_name = "CODE", global = true)]
    pub(crate) deny: Vec<String>,
    /// Do not say this warning, or none of the `warnings`
    #[arg(long = "allow", value_name = "CODE", global = true)]
    pub(crate) allow: Vec<String>,
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = Progress::Auto, value_name = "HOW", global = true)]
    pub(crate) progress: Progress,
    /// When to colour [NO_COLOR is honoured]
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN", global = true)]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON document, or one object a line
    Json,
    /// Graphviz (plans)
    Dot,
    /// Mermaid (plans)
    Mermaid,
    /// A picture (plans)
    Svg,
    /// A page: of a plan with its picture, of a difference, of a run with its time line
    Html,
    /// Markdown for a pull request (differences)
    Markdown,
    /// SARIF 2.1.0 (differences)
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Messages {
    /// Pictures of the source
    Human,
    /// The same in words, for screen readers
    Narrated,
    /// One line each
    Short,
    /// One JSON object a line
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitHub workflow annotations
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, lines elsewhere
    Auto,
    /// A line for each thing that happens
    Plain,
    /// Events as JSON, one a line
    Json,
    /// Nothing but the summary
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a workspace that runs
    Init {
        /// Where
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Find what is wrong in the specs; runs nothing
    Check {
        /// Files to check instead of the workspace's root file
        files: Vec<PathBuf>,
    },
    /// Choose versions of packages and write `partita.lock`
    Lock {
        /// Write nothing; exit 7 if the file is not as it would be written
        #[arg(long)]
        check: bool,
        /// Take this package as new as all who need it allow
        #[arg(long, value_name = "NAME", conflicts_with = "check")]
        update: Option<String>,
    },
    /// Copy fetched packages into the workspace, as `partita.lock` has them
    Vendor,
    /// Format specs
    Fmt {
        /// Files or folders; else the workspace. `-` reads standard input and writes standard output
        files: Vec<PathBuf>,
        /// Change nothing; exit 7 if something is not formatted
        #[arg(long)]
        check: bool,
        /// Change nothing; print what would change
        #[arg(long)]
        diff: bool,
    },
    /// Mend what can be mended safely
    Fix(FixArgs),
    /// Run the tests that specs hold of themselves; executes nothing
    Test {
        /// Only tests whose names hold this
        #[arg(default_value = "", hide_default_value = true)]
        filter: String,
        /// Write kept plans anew; exit 10 if some were written and nothing else failed
        #[arg(long)]
        update: bool,
        /// Write a JUnit report
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// Print a graph with everything expanded and written out
    Expand {
        /// The graph
        graph: String,
    },
    /// Tell what a code means, or how a node of the language is written
    Explain {
        /// The code, as P0101 or E0205, or the node, as for-each or bundle.include
        #[arg(value_name = "CODE|NODE")]
        code: String,
    },
    /// Compile a graph to its plan
    Plan {
        /// The graph, or a plan file to show
        graph: String,
        /// Write it to a file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Sign the file by this key: `FILE.sig.json`
        #[arg(long, value_name = "KEY", requires = "output")]
        sign: Option<String>,
        /// Show the plan file only if this key signed it: a name, or a file in PEM
        #[arg(long, value_name = "KEY", conflicts_with = "sign")]
        signed_by: Option<String>,
    },
    /// Tell what a change really does: privileged changes first, then root causes
    Diff {
        /// A git revision, a plan file, or `.` for the working tree
        before: String,
        /// The same
        #[arg(default_value = ".")]
        after: String,
        /// Only this graph; else all that either side has
        #[arg(long, value_name = "NAME")]
        graph: Option<String>,
        /// Exit with 5 if there are changes, with 6 if some are privileged
        #[arg(long)]
        exit_code: bool,
        /// Tell what running the change will bring about [default: where the inputs of AFTER are at hand]
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        forecast: Option<bool>,
        /// Show everything: all addresses, all fields, whole values
        #[arg(long)]
        full: bool,
    },
    /// Tell what a run would do: what is known, what runs, and why
    Forecast {
        /// A graph, or addresses in one; without any, it tells which graphs there are
        targets: Vec<String>,
        /// Take this address as not known; may be given several times
        #[arg(long, value_name = "ADDR")]
        refresh: Vec<String>,
    },
    /// Run what is not already known
    Run {
        /// Graphs, or addresses such as `graph/node`; without any, it tells which graphs there are
        targets: Vec<String>,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Consent to a plan, by a signature that lapses when the plan changes
    Approve {
        /// A graph, or a plan file
        plan: String,
        /// The key that signs; else the only one here that may
        #[arg(long, value_name = "NAME")]
        key: Option<String>,
        /// Consent to this approval alone, by its address; may be given several times
        #[arg(long, value_name = "ADDR")]
        gate: Vec<String>,
        /// Who approves; else the name that goes with the key
        #[arg(long = "as", value_name = "PERSON")]
        person: Option<String>,
    },
    /// Open the sandbox of an action: a shell with its inputs, variables and tools
    Shell {
        /// The address, as `graph/node`
        addr: String,
        /// Run this program in it instead of a shell
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
        /// The isolation of the action; else the strongest there is
        #[arg(long, value_enum, value_name = "LEVEL")]
        isolation: Option<IsolationArg>,
    },
    /// Tell why an action ran, or why it did not have to
    Why {
        /// The address, as `graph/node`
        addr: String,
        /// The run; else the last one it took part in
        #[arg(long, value_name = "ID")]
        run: Option<String>,
    },
    /// Tell the way by which an action depends on another
    WhyDepends {
        /// The address that depends
        addr: String,
        /// The address it depends on
        on: String,
    },
    /// List runs, newest first
    Runs,
    /// Compare two runs: the first action that differs, and all others
    DiffRuns {
        /// The run to compare with
        before: String,
        /// The run
        after: String,
    },
    /// Print what the actions of a run printed; with `--format html` a page with its time line and critical path
    Log {
        /// The run; else the last one
        run: Option<String>,
        /// Only this address
        #[arg(long, value_name = "ADDR")]
        addr: Option<String>,
        /// The bytes that actions printed and nothing else: standard output to standard output, standard error to standard
        /// error; a terminal gets them with all that commands it
        #[arg(long)]
        raw: bool,
    },
    /// Make a bundle from results that are known
    Bundle(BundleArgs),
    /// Check a bundle against a trust policy
    Verify(VerifyArgs),
    /// Run, bundle, verify, and write a report
    Deliver(DeliverArgs),
    /// Write the report of a bundle, for those who get it
    Report(ReportArgs),
    /// Look for known vulnerabilities in a bundle
    Audit(AuditArgs),
    /// Transparency logs, as static files
    #[command(subcommand)]
    Tlog(TlogCommand),
    /// Make a bundle again from its provenance, and compare
    Rebuild(RebuildArgs),
    /// Tell what differs between two bundles
    DiffBundles {
        /// The one before
        before: PathBuf,
        /// The one after
        after: PathBuf,
        /// Exit 5 if something differs
        #[arg(long)]
        exit_code: bool,
    },
    /// Signing keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// The store
    #[command(subcommand)]
    Store(StoreCommand),
    /// What a workspace keeps besides specs: history, consent, records, keys
    #[command(subcommand)]
    State(StateCommand),
    /// Serve an editor: the language server, over standard input and output
    Lsp,
    /// Tell what this machine can do, and what is wrong
    Doctor,
}

/// What to mend.
#[derive(Clone, Debug, Args)]
pub(crate) struct FixArgs {
    /// Files to mend instead of the workspace's root file; those they import are mended too
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing; exit 7 if something can be mended
    #[arg(long)]
    pub(crate) check: bool,
    /// Change nothing; print what would change
    #[arg(long)]
    pub(crate) diff: bool,
    /// Make KDL 2 of files that are KDL 1
    #[arg(long)]
    pub(crate) kdl1: bool,
}

/// How to run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunOptions {
    /// Where outputs appear; else `out` in the workspace
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with what does not depend on a failure
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// The least isolation actions run under
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) isolation: Option<IsolationArg>,
    /// Run nothing: exit 7 if a result is not known
    #[arg(long)]
    pub(crate) require_cached: bool,
    /// Run this address even if its result is known; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(crate) refresh: Vec<String>,
    /// Make actions again in other surroundings and compare: all, some as `10%`, or those of an address; exit 7
    /// if one comes out otherwise
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) check: Vec<String>,
    /// Take this effect as done, though the run that began it did not live to say so
    #[arg(long, value_name = "ADDR")]
    pub(crate) done: Vec<String>,
    /// Record nothing: exit 7 if what a `record` action gave is not known
    #[arg(long)]
    pub(crate) replay_only: bool,
    /// The longest the run may take, as `10m`
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// Write the report of the run as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write a trace that opens in Perfetto
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArg {
    /// Namespaces, Landlock and seccomp
    Full,
    /// The file system is confined
    Landlock,
    /// Nothing is enforced
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Write it into one file, which holds signing keys too
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Bring it back from such a file
    Restore {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Count what is there
    Stat,
    /// Read everything and check it
    Verify,
    /// Bring results to the present schema of keys; done by itself where it is needed
    Rekey {
        /// For tests: take fields of the schema before as meaning the same
        #[arg(long, hide = true)]
        same_fields: bool,
    },
    /// Tell what keeps an object in the store
    Why {
        /// Its digest, as in reports, or the first eight digits or more
        digest: String,
    },
    /// Remove what is old or too much; others may use the store meanwhile
    Gc {
        /// Remove results not used for this long, as `30d`
        #[arg(long, value_name = "DURATION")]
        max_age: Option<String>,
        /// Remove results least recently used until the store is at most this large, as `10GiB`
        #[arg(long, value_name = "SIZE")]
        max_size: Option<String>,
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}
