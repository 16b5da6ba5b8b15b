//! The commands that look after the store and the machine. Leaves out the other commands.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::json;

use crate::base::{ErrorKind, Timestamp, format_bytes, parse_duration_ms, parse_size_bytes};
use crate::cli::args::{StateCommand, StoreCommand};
use crate::cli::commands::{Status8, clock};
use crate::cli::output::Output;
use crate::ops::{self, Error, GcOptions, Holder, Locations, Rekeying, Workspace};

pub(super) fn store(locations: &Locations, command: &StoreCommand, output: &Output) -> Status8 {
    let dir = ops::store_dir(locations)?;
    let store = match command {
        StoreCommand::Stat | StoreCommand::Why { .. } | StoreCommand::Gc { dry_run: true, .. } => {
            ops::open_store_to_read(&dir, clock())?
        }
        StoreCommand::Verify => ops::open_store_to_verify(&dir, clock())?,
        StoreCommand::Rekey { .. } | StoreCommand::Gc { .. } => ops::open_store(&dir, clock())?,
    };
    match command {
        StoreCommand::Stat => {
            let stat = store.stat()?;
            if output.json {
                let object = json!({
                    "dir": dir, "objects": stat.objects, "bytes": stat.bytes, "claims": stat.claims,
                    "quarantined": stat.quarantined, "quarantined_bytes": stat.quarantined_bytes,
                });
                output.data(&format!("{object}\n"));
            } else {
                output.data(&format!("store {}\n", dir.display()));
                output.data(&format!("  objects      {} ({})\n", stat.objects, format_bytes(stat.bytes)));
                output.data(&format!("  results      {}\n", stat.claims));
                output.data(&format!(
                    "  quarantined  {} ({})\n",
                    stat.quarantined,
                    format_bytes(stat.quarantined_bytes)
                ));
            }
            Ok(0)
        }
        StoreCommand::Verify => {
            let report = store.verify()?;
            let sound = report.is_sound();
            let mended = !store.only_reads();
            if output.json {
                let object = json!({
                    "sound": sound, "objects": report.objects, "bytes": report.bytes, "claims": report.claims,
                    "corrupt": report.corrupt.iter().map(crate::base::Digest::hex).collect::<Vec<_>>(), "strays": report.strays,
                    "claims_dropped": report.claims_dropped,
                    "missing": report.missing.iter().map(crate::base::Digest::hex).collect::<Vec<_>>(),
                    "orphans_removed": report.orphans_removed, "mended": mended,
                });
                output.data(&format!("{object}\n"));
            } else {
                output.data(&format!(
                    "read {} objects ({}) and {} results: {}\n",
                    report.objects,
                    format_bytes(report.bytes),
                    report.claims,
                    if sound { "all sound" } else { "NOT sound" }
                ));
                let now = if mended { "now in quarantine" } else { "left where it is" };
                for digest in &report.corrupt {
                    output.data(&format!("  corrupt, {now}: b3:{digest}\n"));
                }
                for name in &report.strays {
                    output.data(&format!("  not ours, {now}: {name}\n"));
                }
                for digest in &report.missing {
                    output.data(&format!("  missing: b3:{digest}\n"));
                }
                if report.claims_dropped > 0 {
                    output.data(&format!(
                        "  {} results {}; they are made anew when needed\n",
                        report.claims_dropped,
                        if mended { "dropped" } else { "lack something of theirs" }
                    ));
                }
                if !mended && !sound {
                    output.note("nothing was mended: this store cannot be written here");
                }
            }
            Ok(if sound { 0 } else { ErrorKind::CheckFailed.exit_status() })
        }
        StoreCommand::Why { digest } => {
            let digest = store.find(digest)?.ok_or_else(|| {
                Error::usage_help(
                    format!("there is no object `{digest}` in the store, or more than one"),
                    "write all 64 digits of its digest, or the first eight or more",
                )
            })?;
            let holders = store.why(digest)?;
            if output.json {
                let holders: Vec<_> = holders.iter().map(holder_json).collect();
                output.data(&format!("{}\n", json!({"digest": digest.hex(), "kept_by": holders})));
                return Ok(0);
            }
            output.data(&format!("b3:{digest}\n"));
            for holder in &holders {
                output.data(&match holder {
                    Holder::Lease => "  a process that uses the store now\n".to_owned(),
                    Holder::Claim { key, addr, run, place, last_used } => format!(
                        "  {place} of {addr}, made by run {run}, last used {}\n    key {key}\n",
                        Timestamp(*last_used)
                    ),
                });
            }
            if holders.is_empty() {
                output.data("  nothing: the next collection removes it\n");
            }
            Ok(0)
        }
        StoreCommand::Rekey { same_fields } => {
            let way = if *same_fields { Rekeying::SAME_FIELDS } else { Rekeying::PRESENT };
            let report = ops::rekey_store(&store, &way)?;
            if output.json {
                let object = json!({"moved": report.moved, "present": report.present, "left": report.left});
                output.data(&format!("{object}\n"));
            } else {
                output.data(&format!(
                    "{} results brought to the present schema of keys, {} were there already, {} left alone\n",
                    report.moved, report.present, report.left
                ));
            }
            Ok(0)
        }
        StoreCommand::Gc { max_age, max_size, dry_run } => {
            let bad = |what: &str, text: &str, example: &str| {
                Error::usage_help(format!("`{text}` is not a {what}"), format!("write it as {example}"))
            };
            let age = max_age
                .as_ref()
                .map(|text| parse_duration_ms(text).ok_or_else(|| bad("duration", text, "`30d` or `12h`")))
                .transpose()?;
            let size = max_size
                .as_ref()
                .map(|text| parse_size_bytes(text).ok_or_else(|| bad("size", text, "`10GiB`")))
                .transpose()?;
            let options = GcOptions {
                max_age: age.map(Duration::from_millis),
                max_bytes: size,
                roots: Vec::new(),
                dry_run: *dry_run,
            };
            let report = store.gc(&options)?;
            if output.json {
                let object = json!({
                    "dry_run": dry_run, "claims": report.claims, "objects": report.objects, "bytes": report.bytes,
                    "leftovers": report.leftovers, "kept_objects": report.kept_objects,
                    "kept_bytes": report.kept_bytes, "kept_claims": report.kept_claims,
                });
                output.data(&format!("{object}\n"));
            } else {
                let verb = if *dry_run { "would remove" } else { "removed" };
                output.data(&format!(
                    "{verb} {} results, {} objects ({}) and {} leftovers\n",
                    report.claims,
                    report.objects,
                    format_bytes(report.bytes),
                    report.leftovers
                ));
                output.data(&format!(
                    "kept {} results and {} objects ({})\n",
                    report.kept_claims,
                    report.kept_objects,
                    format_bytes(report.kept_bytes)
                ));
            }
            Ok(0)
        }
    }
}

pub(super) fn state(locations: &Locations, workspace: &Workspace, command: &StateCommand, output: &Output) -> Status8 {
    let (verb, reply) = match command {
        StateCommand::Backup { file } => ("saved", ops::backup_state(&workspace.state, &locations.current.join(file))?),
        StateCommand::Restore { file } => {
            ("brought back", ops::restore_state(&locations.current.join(file), &workspace.state)?)
        }
    };
    let text = format!("{verb} {} files ({})\n", reply.files, format_bytes(reply.bytes));
    output.text_or(&text, || json!({"files": reply.files, "bytes": reply.bytes}));
    Ok(0)
}

fn holder_json(holder: &Holder) -> serde_json::Value {
    match holder {
        Holder::Lease => json!({"kind": "lease"}),
        Holder::Claim { key, addr, run, last_used, place } => json!({
            "kind": "result", "key": key.to_string(), "addr": addr, "run": run, "place": place,
            "last_used": Timestamp(*last_used).to_string(),
        }),
    }
}

pub(super) fn doctor(locations: &Locations, output: &Output) -> u8 {
    let workspace = ops::open(locations).ok();
    let store = workspace.as_ref().map(|w| w.store.clone()).or_else(|| ops::store_dir(locations).ok());
    let state = workspace.as_ref().map(|w| w.state.as_path());
    let findings = ops::doctor(store.as_deref(), state, &locations.environment);
    let bad = findings.iter().any(|finding| finding.health == ops::Health::Bad);
    for finding in &findings {
        let word = match finding.health {
            ops::Health::Good => "ok",
            ops::Health::Less => "less",
            ops::Health::Bad => "BAD",
        };
        if output.json {
            let object = json!({"what": finding.what, "health": word.to_lowercase(), "seen": finding.seen});
            output.data(&format!("{object}\n"));
        } else {
            output.data(&format!("{word:5} {:11} {}\n", finding.what, finding.seen));
        }
    }
    if workspace.is_none() && std::io::stderr().is_terminal() {
        output.note("not in a workspace, so its state directory was not looked at");
    }
    if bad { ErrorKind::CheckFailed.exit_status() } else { 0 }
}
