//! The verbs about what is known of a bundle: audits and transparency logs. Leaves out the operations.

use std::path::Path;

use serde_json::json;

use crate::base::ErrorKind;
use crate::cli::bundle_args::{AuditArgs, ScanArgs, SeverityArg, TlogCommand};
use crate::cli::commands::{Status8, relative};
use crate::cli::output::Output;
use crate::cli::transport::attest;
use crate::ops::{self, AuditReply, AuditRequest, Error, Locations, Severity};

/// Scans a bundle as asked.
pub(super) fn scan(
    zip: &Path,
    args: &ScanArgs,
    database: &Path,
    state: Option<&Path>,
    locations: &Locations,
) -> Result<AuditReply, Error> {
    let keep = state.map(|state| state.join("audits"));
    let vex: Vec<_> = args.vex.iter().map(|path| locations.current.join(path)).collect();
    let gate = match args.fail_on {
        SeverityArg::Never => None,
        SeverityArg::Low => Some(Severity::Low),
        SeverityArg::Medium => Some(Severity::Medium),
        SeverityArg::High => Some(Severity::High),
        SeverityArg::Critical => Some(Severity::Critical),
    };
    let database = locations.current.join(database);
    ops::audit(zip, &AuditRequest { database: &database, vex: &vex, gate, keep: keep.as_deref() })
}

/// Looks for known vulnerabilities in a bundle.
pub(super) fn audit(locations: &Locations, args: &AuditArgs, output: &Output) -> Status8 {
    let workspace = ops::open(locations).ok();
    let state = workspace.as_ref().map(|workspace| workspace.state.as_path());
    let zip = locations.current.join(&args.file);
    let reply = scan(&zip, &args.scan, &args.osv_db, state, locations)?;
    if let Some(path) = &args.vex_out {
        ops::write_vex(&reply, &locations.current.join(path))?;
        output.note(&format!("VEX document {}", path.display()));
    }
    if let Some(path) = &args.attest {
        let workspace = ops::open(locations)?;
        let path = locations.current.join(path);
        ops::attest_audit(&reply, &attest(&path, &ops::key_dir(&workspace), &args.key, locations))?;
        output.note(&format!("statement {}", relative(&path, &locations.current)));
    }
    if output.json {
        output.data(&format!("{}\n", audit_json(&reply)));
    } else {
        output.data(&audit_text(&reply));
    }
    Ok(if reply.accepted() { 0 } else { ErrorKind::Security.exit_status() })
}

pub(super) fn audit_json(reply: &AuditReply) -> serde_json::Value {
    json!({
        "accepted": reply.accepted(), "open": reply.open().count(), "cached": reply.cached,
        "database": reply.audit.database, "last_update": reply.audit.last_update,
        "coverage": reply.audit.coverage, "findings": reply.audit.findings,
        "undetermined": reply.audit.undetermined,
    })
}

/// A line for each finding, the coverage, and the answer.
pub(super) fn audit_text(reply: &AuditReply) -> String {
    let mut text = String::new();
    for finding in &reply.audit.findings {
        let (severity, id, state) = (finding.severity.word(), &finding.id, finding.state());
        text.push_str(&format!("{severity:8} {id}  {} {}: {state}\n", finding.package, finding.version));
        if !finding.summary.is_empty() {
            text.push_str(&format!("         {}\n", finding.summary));
        }
    }
    for one in &reply.audit.coverage {
        let packages = if one.packages == 1 { "package" } else { "packages" };
        text.push_str(&format!("coverage {}: {} {packages}, {}\n", one.ecosystem, one.packages, one.how.words()));
    }
    for purl in &reply.audit.undetermined {
        text.push_str(&format!("unclear  {purl}: its version cannot be compared\n"));
    }
    let (open, refused) = (reply.open().count(), reply.refused().count());
    text.push_str(&match refused {
        0 => format!("{open} open, none that the gate refuses\n"),
        _ => format!("{open} open, {refused} REFUSED by the gate\n"),
    });
    text
}

/// Transparency logs.
pub(super) fn tlog(locations: &Locations, command: &TlogCommand, output: &Output) -> Status8 {
    let here = |path: &Path| locations.current.join(path);
    let logged = match command {
        TlogCommand::Append { dir, file, key, origin } => {
            let keys = ops::key_dir(&ops::open(locations)?);
            let origin = origin.as_deref();
            ops::tlog_append(&here(dir), origin, &here(file), &keys, key, &locations.environment)?
        }
        TlogCommand::Prove { dir, file, key } => ops::tlog_prove(&here(dir), &here(key), &here(file))?,
        TlogCommand::Check { dir, key, since } => {
            let since = since.as_ref().map(|path| here(path));
            let state = ops::tlog_check(&here(dir), &here(key), since.as_deref())?;
            let (origin, size) = state.checkpoint.map_or_else(Default::default, |found| (found.origin, found.size));
            if output.json {
                output.data(&format!("{}\n", json!({"origin": origin, "size": size, "sound": true})));
            } else {
                let entries = if size == 1 { "entry" } else { "entries" };
                output.data(&format!("log {origin}: {size} {entries}, all sound\n"));
            }
            return Ok(0);
        }
    };
    if output.json {
        let object = json!({"proof": logged.proof, "index": logged.index, "size": logged.size, "vkey": logged.vkey});
        output.data(&format!("{object}\n"));
    } else {
        output.note(&format!("entry {} of {}", logged.index, logged.size));
        output.note(&format!("proof {}", relative(&logged.proof, &locations.current)));
        output.note(&format!("key   {}", logged.vkey));
    }
    Ok(0)
}
