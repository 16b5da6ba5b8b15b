//! One function for each thing a user can ask for: typed requests and replies. Leaves out arguments,
//! terminals and exit statuses, which are the fronts'.

mod approve;
mod attest;
mod audit;
mod backup;
mod behind;
mod bundles;
mod carry;
mod check;
mod contents;
mod depends;
mod diff;
mod doctor;
mod epochs;
mod error;
mod explain;
mod fix;
mod forecast;
mod format;
mod git;
mod history;
mod in_place;
mod inventory;
mod journals;
mod keys;
mod machine;
mod memo;
mod outlook;
mod package_store;
mod packages;
mod places;
mod plan_files;
mod ports;
mod rebuild;
mod recheck;
mod rekey;
mod report;
mod revision;
mod run;
mod secrets;
mod session;
mod shell;
mod slices;
mod testing;
mod timeline;
mod tlog;
mod trial;
mod trust;
mod utilities;
mod workspace;
mod writers;

// What fronts need of the modules below, so that they name this module alone.
pub use crate::bundle::{
    Algorithm, BUILD_LEVEL_1, BuiltFile, Change, PublicKey, REPRODUCED, Severity, Status as CheckStatus, Verdict,
    compress, pack_single,
};
pub use crate::exec::{CancelToken, Forecast, Prospect, RunReport, Visit};
pub use crate::lang::{
    CompletionKind, FileId, Index, Instances, Item, LOCK_FILE, Lock, SignerDecl, Symbol, TokenClass,
};
pub use crate::plan::{Isolation, Places, Rekeying};
pub use crate::store::{GcOptions, Holder, LocalStore, RunRow};

pub use approve::{ApproveReply, ApproveRequest, Approved, approve};
pub use attest::{Attest, attest_summary, attest_verified};
pub use audit::{AuditReply, AuditRequest, attest_audit, audit, write_vex};
pub use backup::{BackupReply, backup_state, restore_state};
pub use behind::run_behind;
pub use bundles::{
    BundleReply, BundleRequest, DEFAULT_TENANT, Judged, VerifyProblem, VerifyRequest, bundle_name, default_dir,
    find_archive, make, verify, verify_made,
};
pub use check::{PlanFormat, Planned, check, expand_graph, find_graph, init, plan, write_plan};
pub use depends::{Step, why_depends};
pub use diff::{DiffErrors, DiffFormat, DiffRequest, compare, read_plan, write_diff};
pub use doctor::{Finding, Health, doctor};
pub use error::Error;
pub use explain::{error_codes, error_page, explain};
pub use fix::{FixReply, FixRequest, FixedFile, fix_files, unified};
pub use forecast::{FORECAST_FORMAT, forecast, forecast_json, forecast_text};
pub use format::{Formatted, format_files, format_text};
pub use history::{LogEntry, Stream, Why, describe, log, raw_log, runs, why};
pub use journals::{Divergence, Ending, RunsDiff, diff_runs, trace};
pub use keys::{
    DEFAULT_KEY, OpenKey, add as add_key, generate as generate_key, key_dir, make_key_dir, open_signer, public_key,
    public_keys,
};
pub use memo::{Behind, MemoAnswer, MemoKey};
pub use package_store::PackageStore;
pub use packages::{LockReply, LockRequest, SpecErrors, Vendored, lock, vendor};
pub use places::{FailedAction, SpecPlace};
pub use plan_files::{SignedPlan, read_plan_file, sign_plan_file};
pub use ports::{Keep, WorkspaceHistory, WorkspaceSnapshots, open_store, open_store_to_read, open_store_to_verify};
pub use rebuild::{RebuildReply, diff_bundles, rebuild};
pub use recheck::Recheck;
pub use rekey::{rekey_older_state, rekey_older_store, rekey_store};
pub use report::{ReportData, Steps, read_steps, report, report_path};
pub use revision::{Repository, RevisionWorld};
pub use run::{Answer, Chosen, RunContext, RunOptions, RunReply, TakeBack, answer, run, run_dir};
pub use session::{Draft, Findings, Session};
pub use shell::{ShellReply, shell};
pub use testing::{TestReply, TestRequest, junit, test};
pub use timeline::timeline;
pub use tlog::{Logged, tlog_append, tlog_check, tlog_prove};
pub use trust::{PolicyChoice, PolicyErrors, read_policy, sign_policy_file};
pub use utilities::usual_tools;
pub use workspace::{DiskWorld, Locations, ROOT_FILE, Workspace, find, open, store_dir};
