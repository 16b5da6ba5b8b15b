//! One function for each thing a user can ask for: typed requests and replies. Leaves out arguments,
//! terminals and exit statuses, which are the fronts'.

mod bundles;
mod check;
mod depends;
mod diff;
mod doctor;
mod error;
mod forecast;
mod format;
mod history;
mod journals;
mod ports;
mod revision;
mod run;
mod trust;
mod workspace;

// What fronts need of the modules below, so that they name this module alone.
pub use crate::bundle::{Status as CheckStatus, Verdict, generate_key};
pub use crate::exec::{CancelToken, Forecast, Prospect, RunReport};
pub use crate::plan::Isolation;
pub use crate::store::{GcOptions, LocalStore, RunRow};

pub use bundles::{
    BundleReply, DEFAULT_KEY, DEFAULT_TENANT, VerifyProblem, default_dir, key_dir, make, public_keys, verify,
};
pub use check::{PlanFormat, Planned, check, expand_graph, explain, find_graph, init, plan, write_plan};
pub use depends::{Step, why_depends};
pub use diff::{DiffErrors, DiffFormat, DiffRequest, compare, read_plan, write_diff};
pub use doctor::{Finding, Health, doctor};
pub use error::Error;
pub use forecast::{FORECAST_FORMAT, forecast, forecast_json, forecast_text};
pub use format::{Formatted, format_files, format_text};
pub use history::{LogEntry, Why, describe, log, runs, why};
pub use journals::{Divergence, Ending, RunsDiff, diff_runs, trace};
pub use ports::{Keep, WorkspaceHistory, WorkspaceSnapshots, open_store};
pub use revision::{Repository, RevisionWorld};
pub use run::{Chosen, RunContext, RunOptions, RunReply, run, run_dir};
pub use trust::{PolicyErrors, read_policy};
pub use workspace::{DiskWorld, Locations, ROOT_FILE, Workspace, find, open, store_dir};
