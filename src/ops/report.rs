//! The delivery report: one HTML file for the client of a bundle, with nothing in it that is not of the
//! bundle or of its run. The same bundle and run give the same bytes. Leaves out how the bundle was made.

mod page;
mod parts;
mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Clock;
use crate::bundle::{Inspected, PublicKey, Verdict, inspect};
use crate::ops::Error;
use crate::ops::audit::AuditReply;
use crate::ops::keys::{key_dir, public_keys};
use crate::ops::run::write_atomically;
use crate::ops::workspace::Workspace;
use crate::store::{LocalStore, RunStatus, StoreOptions};

pub use steps::{Steps, read_steps};

/// Everything a report is made of.
pub struct ReportData<'a> {
    /// What the bundle says.
    pub inspected: &'a Inspected,
    /// How its checks ended.
    pub verdict: &'a Verdict,
    /// By whom, as words: `the key release`.
    pub judged_by: &'a str,
    /// The run it came from, where that is on record.
    pub steps: Option<&'a Steps>,
    /// The keys that signed, by key id: their names and the keys, where known.
    pub keys: &'a BTreeMap<String, (String, PublicKey)>,
    /// Images among the files.
    pub images: &'a BTreeMap<String, Vec<u8>>,
    /// What is told of files by what they are for, by role.
    pub parts: &'a serde_json::Value,
    /// What an audit found, if one was made.
    pub audit: Option<&'a AuditReply>,
}

/// The report beside an archive: `NAME-VERSION.report.html`.
pub fn report_path(zip: &Path) -> PathBuf {
    zip.with_extension("report.html")
}

/// Writes the report of a bundle beside it. `run` names the run it tells of; otherwise it is the last
/// successful one of the bundle's plan.
pub fn report(
    workspace: &Workspace,
    zip: &Path,
    verdict: &Verdict,
    judged_by: &str,
    run: Option<&str>,
    audit: Option<&AuditReply>,
    clock: &Arc<dyn Clock>,
) -> Result<PathBuf, Error> {
    let inspected = inspect(zip)?;
    let images = page::images(zip, &inspected)?;
    let parts = parts::parts(zip, &inspected.manifest)?;
    let keys = public_keys(&key_dir(workspace))?
        .into_iter()
        .map(|(name, key)| (key.keyid().to_owned(), (name, key)))
        .collect::<BTreeMap<_, _>>();
    let run = match run {
        Some(run) => Some(run.to_owned()),
        None => find_run(workspace, &inspected, clock)?,
    };
    let store = LocalStore::open_to_read(&workspace.store, StoreOptions::new(Arc::clone(clock)))?;
    let steps = run.map(|run| read_steps(&workspace.state, &run, Some(&store))).transpose()?;
    let data = ReportData {
        inspected: &inspected,
        verdict,
        judged_by,
        steps: steps.as_ref(),
        keys: &keys,
        images: &images,
        parts: &parts,
        audit,
    };
    let html = page::render(&data)?;
    let path = report_path(zip);
    write_atomically(&path, html.as_bytes())?;
    Ok(path)
}

/// The last successful run whose plan is the bundle's.
fn find_run(workspace: &Workspace, inspected: &Inspected, clock: &Arc<dyn Clock>) -> Result<Option<String>, Error> {
    let runs = match crate::ops::history::runs(workspace, clock) {
        Ok(runs) => runs,
        // A bundle can be reported on where its run is not on record.
        Err(Error::Usage { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    for row in runs.iter().filter(|row| row.status == RunStatus::Succeeded) {
        if steps::plan_of(&workspace.state, &row.id).as_deref() == Some(&inspected.manifest.plan_hash) {
            return Ok(Some(row.id.clone()));
        }
    }
    Ok(None)
}
