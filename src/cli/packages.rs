//! The commands about packages: their arguments to operations, replies to text. Leaves out the operations.

use serde_json::json;

use crate::base::ErrorKind;
use crate::cli::commands::{Status8, relative};
use crate::cli::output::Output;
use crate::cli::specs::counted;
use crate::ops::{self, Error, LOCK_FILE, Locations, LockRequest, SpecErrors};

fn refuse<T>(errors: &SpecErrors, output: &Output) -> Result<T, Error> {
    output.diagnostics(&errors.diagnostics, &errors.sources);
    Err(Error::Spec)
}

/// `lock`.
pub(super) fn lock(locations: &Locations, check: bool, update: Option<&str>, output: &Output) -> Status8 {
    let request = LockRequest { check, update: update.map(str::to_owned) };
    let reply = match ops::lock(locations, &request)? {
        Ok(reply) => reply,
        Err(errors) => return refuse(&errors, output),
    };
    for change in &reply.changes {
        output.note(change);
    }
    output.note(&match (reply.written, check) {
        (true, true) => format!("{LOCK_FILE} is not as the specs need it: run `partita lock`"),
        (true, false) => format!("{LOCK_FILE} written, {}", counted(reply.lock.packages.len(), "package")),
        (false, _) if reply.lock.packages.is_empty() => "no packages are imported".to_owned(),
        (false, _) => format!("{LOCK_FILE} is as it should be, {}", counted(reply.lock.packages.len(), "package")),
    });
    output.text_or("", || {
        let packages = reply.lock.packages.iter().map(|package| {
            json!({
                "name": package.name, "version": package.version.to_string(), "source": package.source.to_string(),
                "commit": package.commit, "tree": package.tree.hex(),
            })
        });
        json!({
            "packages": packages.collect::<Vec<_>>(), "changes": reply.changes, "written": reply.written && !check,
            "root": reply.lock.root().hex(),
        })
    });
    Ok(if check && reply.written { ErrorKind::CheckFailed.exit_status() } else { 0 })
}

/// `vendor`.
pub(super) fn vendor(locations: &Locations, output: &Output) -> Status8 {
    let vendored = match ops::vendor(locations)? {
        Ok(vendored) => vendored,
        Err(errors) => return refuse(&errors, output),
    };
    for package in &vendored {
        output.note(&format!(
            "{} {} -> {}",
            package.name,
            package.version,
            relative(&package.path, &locations.current)
        ));
    }
    if vendored.is_empty() {
        output.note("no package is fetched: there is nothing to copy");
    }
    output.text_or("", || {
        let packages = vendored
            .iter()
            .map(|package| json!({"name": package.name, "version": package.version, "path": package.path}));
        json!({"packages": packages.collect::<Vec<_>>()})
    });
    Ok(0)
}
