//! Plan files that are signed and checked: the signature lies beside the file, under its name with
//! `.sig.json` at the end. Leaves out the form of the signature.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::Environment;
use crate::bundle::{PLAN_SIGNATURE_BYTES, PublicKey, check_plan, sign_plan};
use crate::ops::Error;
use crate::ops::diff::read_plan;
use crate::ops::keys::{key_dir, open_signer, public_key};
use crate::ops::workspace::{Locations, Workspace, open};
use crate::plan::{PLAN_BYTES, Plan};

/// A plan file that was signed.
#[derive(Clone, Debug)]
pub struct SignedPlan {
    /// Where the signature is.
    pub file: PathBuf,
    /// The id of the key.
    pub keyid: String,
    /// Whether the key was made for this.
    pub key_is_new: bool,
}

/// Where the signature of a plan file lies.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".sig.json");
    file.with_file_name(name)
}

/// Signs the text of a plan that was written to a file.
pub fn sign_plan_file(
    workspace: &Workspace,
    plan: &Plan,
    text: &str,
    file: &Path,
    key: &str,
    environment: &Environment,
) -> Result<SignedPlan, Error> {
    let open = open_signer(&key_dir(workspace), key, environment)?;
    let line = sign_plan(&plan.graph, &plan.digest.hex(), text.as_bytes(), open.signer.as_ref())?;
    let beside = beside(file);
    std::fs::write(&beside, line).map_err(Error::io("write", &beside))?;
    Ok(SignedPlan { file: beside, keyid: open.signer.keyid(), key_is_new: open.is_new })
}

/// Reads a plan file, which must be signed by a key where one is named: a file in PEM, or one of the
/// workspace's.
pub fn read_plan_file(locations: &Locations, file: &Path, signed_by: Option<&str>) -> Result<Plan, Error> {
    let plan = read_plan(file)?;
    let Some(name) = signed_by else { return Ok(plan) };
    let pem = locations.current.join(name);
    let key =
        if pem.is_file() { PublicKey::from_pem_file(&pem)? } else { public_key(&key_dir(&open(locations)?), name)? };
    let refused = |why: String| Error::PlanSignature { path: file.to_owned(), why };
    let beside = beside(file);
    if !beside.is_file() {
        return Err(refused(format!("there is no `{}`", beside.display())));
    }
    let line = read_bounded(&beside, PLAN_SIGNATURE_BYTES)?;
    let bytes = read_bounded(file, PLAN_BYTES as u64)?;
    check_plan(&line, &plan.graph, &plan.digest.hex(), &bytes, &key).map_err(refused)?;
    Ok(plan)
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}
