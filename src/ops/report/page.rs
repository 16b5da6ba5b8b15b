//! The page itself: data to HTML, by a template that escapes all it is given. Leaves out where the data
//! comes from.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Value, json};

use crate::base::{format_bytes, format_duration, format_micro_usd};
use crate::bundle::{Inspected, InspectedTool, Served, Status, read_files};
use crate::ops::Error;
use crate::ops::audit::AuditReply;
use crate::ops::report::ReportData;
use crate::ops::report::steps::{Step, Steps};

const PAGE: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
/// Files listed one by one.
const FILES: usize = 200;
/// Steps listed one by one: those that took longest.
const STEPS: usize = 60;
/// Bytes of images in all; more would make the page too heavy to send.
const IMAGE_BYTES: u64 = 12 * 1024 * 1024;

/// The kinds of images that browsers show, by the end of the name.
const IMAGES: &[(&str, &str)] = &[
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".gif", "image/gif"),
    (".webp", "image/webp"),
    (".svg", "image/svg+xml"),
];

fn image_kind(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    IMAGES.iter().find(|(end, _)| lower.ends_with(end)).map(|(_, kind)| *kind)
}

/// The images of a bundle, as far as they fit.
pub(super) fn images(zip: &Path, inspected: &Inspected) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    Ok(read_files(zip, |file| image_kind(&file.path).is_some(), &inspected.manifest.files, IMAGE_BYTES)?)
}

/// The page.
pub(super) fn render(data: &ReportData<'_>) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).build().map_err(|error| Error::Internal(error.to_string()))?,
    );
    let failed = |error: minijinja::Error| Error::Report(error.to_string());
    environment.add_template("page", PAGE).map_err(failed)?;
    environment.get_template("page").map_err(failed)?.render(template_value(context(data))).map_err(failed)
}

/// JSON as the template engine takes it. All numbers here are whole and fit.
fn template_value(json: Value) -> minijinja::Value {
    match json {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(flag) => minijinja::Value::from(flag),
        Value::Number(number) => minijinja::Value::from(number.as_u64().unwrap_or_default()),
        Value::String(text) => minijinja::Value::from(text),
        Value::Array(items) => items.into_iter().map(template_value).collect(),
        Value::Object(members) => {
            minijinja::Value::from_pairs(members.into_iter().map(|(name, value)| (name, template_value(value))))
        }
    }
}

fn context(data: &ReportData<'_>) -> Value {
    let inspected = data.inspected;
    let manifest = &inspected.manifest;
    let files: Vec<Value> = manifest
        .files
        .iter()
        .map(|file| {
            json!({
                "path": file.path.strip_prefix("out/").unwrap_or(&file.path), "size": format_bytes(file.size),
                "sha256": file.sha256, "exec": file.mode == "0755",
            })
        })
        .collect();
    let total: u64 = manifest.files.iter().map(|file| file.size).sum();
    let gallery: Vec<Value> = data
        .images
        .iter()
        .filter_map(|(path, bytes)| {
            let encoded = data_encoding::BASE64.encode(bytes);
            let kind = image_kind(path)?;
            Some(json!({"path": path.strip_prefix("out/").unwrap_or(path), "data": format!("data:{kind};base64,{encoded}")}))
        })
        .collect();
    let checks: Vec<Value> = data
        .verdict
        .checks
        .iter()
        .map(|check| {
            let (class, note) = match &check.status {
                Status::Passed(note) => ("good", shortened(&note.replace('`', ""))),
                Status::Refused(refusal) => ("bad", refusal.to_string().replace('`', "")),
                Status::Skipped => ("skipped", "not reached".to_owned()),
            };
            json!({"title": sentence(check.name.title()), "class": class, "note": note})
        })
        .collect();
    let passed = checks.iter().filter(|check| check["class"] == "good").count();
    let signers: Vec<Value> = inspected
        .keyids
        .iter()
        .map(|keyid| {
            let known = data.keys.get(keyid);
            json!({
                "keyid": keyid, "short": keyid.get(..12).unwrap_or(keyid),
                "name": known.map(|(name, _)| name), "pem": known.map(|(_, key)| key.to_pem().trim_end().to_owned()),
                "algorithm": known.map(|(_, key)| key.algorithm().title()),
            })
        })
        .collect();
    let tools: Vec<Value> = inspected
        .tools
        .iter()
        .filter(|tool| is_described(tool))
        .map(|tool| {
            json!({"name": tool.name, "version": tool.version, "supplier": tool.supplier, "identity": tool.identity})
        })
        .collect();
    let source = inspected.source.as_ref().map(|(repository, reference)| match reference {
        Some(reference) => format!("{repository} at {reference}"),
        None => repository.clone(),
    });
    let shown = files.len().min(FILES);
    json!({
        "css": CSS,
        "name": manifest.name, "version": manifest.version, "tenant": manifest.tenant, "graph": manifest.graph,
        "date": data.steps.map(|steps| date(&steps.started)),
        "source": source,
        "accepted": data.verdict.accepted(), "passed": passed, "checks": checks, "judged_by": data.judged_by,
        "archive": {"name": inspected.file_name, "size": format_bytes(inspected.size), "sha256": inspected.sha256},
        "root": manifest.root.dir_hash1, "plan": manifest.plan_hash,
        "content_size": format_bytes(total), "files_shown": files[..shown], "files_hidden": files.len() - shown,
        "files": files, "gallery": gallery,
        "signers": signers,
        "builder": inspected.builder,
        "parameters": inspected.parameters.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
        "inputs": inspected.inputs.keys().collect::<Vec<_>>(),
        "components": inspected.components.iter().map(|component| component.name.clone()).collect::<Vec<_>>(),
        "tools": tools,
        "machine": inspected.tools.iter().filter(|tool| !is_described(tool)).map(|tool| &tool.name).collect::<Vec<_>>(),
        "run": data.steps.map(run),
        "gates": gates(data),
        "served": served(data),
        "level": manifest.level,
        "parts": data.parts,
        "scores": scores(data.parts),
        "cyclonedx": inspected.cyclonedx,
        "audit": data.audit.map(audit),
        "commands": commands(&inspected.file_name, data),
        "policy": policy(data),
    })
}

/// Whether a tool is more than a program of the machine: one that says who it is, or one with
/// a name of its own in the specs.
fn is_described(tool: &InspectedTool) -> bool {
    tool.says_itself || tool.executable != tool.name
}

/// `2026-11-21T04:19:59.209Z` as a person writes it.
fn date(started: &str) -> String {
    match (started.get(..10), started.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} at {time} UTC"),
        _ => started.to_owned(),
    }
}

/// A text with digests cut to what tells them apart: they stand whole elsewhere on the page.
fn shortened(text: &str) -> String {
    let word = |word: &str| {
        let digits = word.rsplit(':').next().unwrap_or(word);
        let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest { format!("{}\u{2026}", &word[..word.len() - 48]) } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The last part of a path, for where there is little room.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn time(ms: u64) -> String {
    if ms == 0 {
        return "< 1 ms".to_owned();
    }
    format_duration(Duration::from_millis(ms))
}

fn run(steps: &Steps) -> Value {
    let count = |words: &[&str]| steps.steps.iter().filter(|step| words.contains(&step.outcome.as_str())).count();
    let (ran, known) = (count(&["ran"]), count(&["cached", "cut-off"]));
    let (failed, skipped) = (count(&["failed"]), count(&["skipped"]));
    let ok = failed + skipped == 0;
    let sentence = if ok {
        match (ran, known) {
            (_, 0) => "all were run, all succeeded".to_owned(),
            (0, _) => "all were known from before".to_owned(),
            _ => format!("{ran} run, {known} known from before"),
        }
    } else {
        format!("{failed} failed, {skipped} not tried")
    };
    let mut story = match (ran, known) {
        (0, _) => "Nothing had to run: every result was known from before, under the same key.".to_owned(),
        (_, 0) => "Every step was run.".to_owned(),
        (1, _) => format!("One step was run; {known} were known from before, under the same key."),
        _ => format!("{ran} steps were run; {known} were known from before, under the same key."),
    };
    if known > 0 {
        story.push_str(" For what was known, the time is that of when it was made.");
    }
    let mut rows: Vec<&Step> = steps.steps.iter().collect();
    let hidden = rows.len().saturating_sub(STEPS);
    if hidden > 0 {
        rows.sort_by(|a, b| b.duration_ms.cmp(&a.duration_ms).then_with(|| a.addr.cmp(&b.addr)));
        rows.truncate(STEPS);
    }
    // As they began; what did not run comes after.
    rows.sort_by(|a, b| {
        let start = |step: &Step| step.start_ms.unwrap_or(u64::MAX);
        start(a).cmp(&start(b)).then_with(|| a.addr.cmp(&b.addr))
    });
    let ends = rows.iter().map(|step| step.start_ms.unwrap_or(0) + step.duration_ms.unwrap_or(0));
    let scale = ends.max().unwrap_or(0).max(1);
    let shown: Vec<Value> = rows.iter().map(|step| row(step, scale)).collect();
    json!({
        "ok": ok, "steps": steps.steps.len(), "sentence": sentence, "story": story,
        "axis": format!("0 to {}", time(scale)),
        "duration": time(steps.duration_ms), "id": steps.run, "hidden": hidden, "rows": shown,
    })
}

/// The gates of the run, and those that the provenance says were passed.
fn gates(data: &ReportData<'_>) -> Value {
    let kinds: BTreeMap<&str, &str> =
        data.inspected.work.gates.iter().map(|gate| (gate.address.as_str(), gate.kind.as_str())).collect();
    let shown = |address: &str, outcome: &str, failure: Option<&str>| {
        // What a gate asks of others, such as an agent's verdict, lies below it and is no gate.
        let (node, gate) = address.rsplit_once('/')?;
        let guarded = node.strip_suffix("/guard").map(|node| (node, "before"));
        let (node, side) = guarded.or_else(|| Some((node.strip_suffix("/gate")?, "of what came of")))?;
        let (class, word) = match outcome {
            "ran" | "cached" | "cut-off" => ("good", "passed"),
            "failed" => ("bad", "failed"),
            _ => ("skipped", "not reached"),
        };
        let why = failure.and_then(|text| text.lines().next()).unwrap_or_default();
        let kind = kinds.get(address).copied().unwrap_or_default();
        Some(json!({
            "node": node, "gate": gate, "kind": kind, "class": class, "word": word, "why": why, "side": side,
        }))
    };
    let found: Vec<Value> = match data.steps {
        Some(steps) => {
            steps.steps.iter().filter_map(|step| shown(&step.addr, &step.outcome, step.failure.as_deref())).collect()
        }
        None => kinds.keys().filter_map(|address| shown(address, "ran", None)).collect(),
    };
    let passed = found.iter().filter(|gate| gate["class"] == "good").count();
    json!({"all": found, "passed": passed, "ok": passed == found.len()})
}

/// Who was chosen for what, by the plan.
fn served(data: &ReportData<'_>) -> Vec<Value> {
    let dollars = |micro: u64| format!("${}", format_micro_usd(micro));
    let row = |one: &Served| {
        let asked = one.capability.as_deref().or(one.agent.as_deref()).unwrap_or_default();
        let model = one.model.as_ref().map_or_else(String::new, |model| format!(", {model}"));
        json!({
            "asked": asked, "by": format!("{} {}{model}", one.kind, one.chosen), "tier": one.tier,
            "actions": one.actions, "price": one.price, "at_most": dollars(one.at_most),
        })
    };
    data.inspected.work.served.iter().map(row).collect()
}

/// What the summary shows of tests and measurements: a title, a line, and a class, each.
fn scores(parts: &Value) -> Vec<Value> {
    let rows_of = |role: &str| parts[role].as_array().cloned().unwrap_or_default();
    let mut scores = Vec::new();
    for part in rows_of("tests") {
        if let Some(title) = part["title"].as_str().filter(|title| !title.is_empty() && *title != "Results") {
            scores.push(json!({"title": title, "line": last(part["path"].as_str().unwrap_or_default()), "class": part["rows"][0]["class"]}));
        }
    }
    for part in rows_of("performance") {
        let row = &part["rows"][0];
        if let (Some(name), Some(value)) = (row["name"].as_str(), row["value"].as_str()) {
            scores.push(json!({"title": value, "line": format!("{name}, {}", last(part["path"].as_str().unwrap_or_default())), "class": row["class"]}));
        }
    }
    for part in rows_of("security") {
        if let Some(title) = part["title"].as_str().filter(|title| !title.is_empty() && *title != "Found") {
            scores.push(json!({"title": title, "line": last(part["path"].as_str().unwrap_or_default()), "class": part["rows"][0]["class"]}));
        }
    }
    scores
}

fn row(step: &Step, scale: u64) -> Value {
    let (class, outcome) = match step.outcome.as_str() {
        "ran" => ("ran", "ran"),
        "cached" => ("known", "known"),
        "cut-off" => ("known", "known, inputs came out equal"),
        "failed" => ("failed", "failed"),
        _ => ("known", "not tried"),
    };
    let permille = |ms: u64| (u128::from(ms) * 1000 / u128::from(scale)) as u64;
    let duration = step.duration_ms.unwrap_or(0);
    let x = permille(step.start_ms.unwrap_or(0)).min(994);
    let width = if step.duration_ms.is_some() { permille(duration).max(6).min(1000 - x) } else { 0 };
    let mut why = String::new();
    if step.attempts > 1 {
        why = format!("after {} attempts", step.attempts);
    }
    if let Some(failure) = step.failure.as_deref().and_then(|text| text.lines().next()) {
        failure.clone_into(&mut why);
    }
    let label = match step.start_ms {
        Some(start) => format!("began after {}, took {}", time(start), time(duration)),
        None if step.duration_ms.is_some() => format!("took {} when it was made", time(duration)),
        None => "no time on record".to_owned(),
    };
    json!({
        "addr": step.addr, "class": class, "outcome": outcome, "why": why, "label": label, "x": x, "width": width,
        "time": step.duration_ms.map_or_else(|| "\u{2013}".to_owned(), time),
    })
}

fn audit(reply: &AuditReply) -> Value {
    let findings: Vec<Value> = reply
        .audit
        .findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.id, "package": format!("{} {}", finding.package, finding.version),
                "severity": finding.severity.word(), "state": finding.state(),
            })
        })
        .collect();
    // Green is only for what was looked at whole and found clean.
    let class = match (reply.accepted(), reply.is_covered()) {
        (false, _) => "bad",
        (true, true) if reply.open().next().is_none() => "good",
        _ => "plain",
    };
    let title = if reply.is_covered() || reply.open().next().is_some() {
        format!("{} open", reply.open().count())
    } else {
        "Not audited".to_owned()
    };
    json!({
        "class": class, "title": title, "coverage": format!("known vulnerabilities; {}", reply.coverage_line()),
        "sentence": reply.sentence(), "findings": findings,
    })
}

/// The lines that check a bundle with stock tools; the same as in the book.
fn commands(file: &str, data: &ReportData<'_>) -> String {
    let p256 = data
        .inspected
        .keyids
        .first()
        .and_then(|keyid| data.keys.get(keyid))
        .is_some_and(|(_, key)| key.algorithm() == crate::bundle::Algorithm::P256);
    let check = if p256 {
        "openssl dgst -sha256 -verify key.pem -signature sig.bin pae.bin"
    } else {
        "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in pae.bin -sigfile sig.bin"
    };
    format!(
        "B={file}\n\
         head -n 1 $B.intoto.jsonl > e.json\n\
         jq -r .payload e.json | base64 -d > p.json\n\
         jq -r '.signatures[0].sig' e.json | base64 -d > sig.bin\n\
         T=$(jq -r .payloadType e.json)\n\
         {{ printf 'DSSEv1 %d %s %d ' ${{#T}} $T $(stat -c %s p.json); cat p.json; }} > pae.bin\n\
         {check}\n\
         test \"$(jq -r '.subject[0].digest.sha256' p.json)\" = \"$(sha256sum < $B | cut -d' ' -f1)\" && echo same archive\n\
         unzip -q $B -d content && cd content && sha256sum --quiet --strict -c META/SHA256SUMS && echo same content"
    )
}

/// A policy that trusts exactly who signed, to start from.
fn policy(data: &ReportData<'_>) -> String {
    let inspected = data.inspected;
    let names: Vec<String> = inspected
        .keyids
        .iter()
        .enumerate()
        .map(|(at, keyid)| data.keys.get(keyid).map_or_else(|| format!("key-{}", at + 1), |(name, _)| name.clone()))
        .collect();
    let quote = crate::lang::quote;
    let mut text = "trust version=1 {\n".to_owned();
    for (at, name) in names.iter().enumerate() {
        let file = if at == 0 { "key.pem".to_owned() } else { format!("key-{}.pem", at + 1) };
        text.push_str(&format!("    key {} file={}\n", quote(name), quote(&file)));
    }
    let signers = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(" ");
    let builder = quote(&inspected.builder);
    text.push_str(&format!("    builder {builder} {{\n        signer {signers}\n    }}\n"));
    text.push_str(&format!("    tenant {} {{\n", quote(&inspected.manifest.tenant)));
    text.push_str(&format!("        require \"https://slsa.dev/provenance/v1\" threshold={} {{\n", names.len()));
    text.push_str(&format!("            signer {signers}\n            builder {builder}\n        }}\n    }}\n}}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        assert_eq!(image_kind("out/Shot.PNG"), Some("image/png"));
        assert_eq!(image_kind("out/png"), None);
    }

    #[test]
    fn bars_stay_in_their_track() {
        let step = Step {
            addr: "g/n".into(),
            outcome: "ran".into(),
            start_ms: Some(999),
            duration_ms: Some(1),
            attempts: 2,
            failure: None,
        };
        let row = row(&step, 1000);
        assert!(row["x"].as_u64().unwrap() + row["width"].as_u64().unwrap() <= 1000);
        assert_eq!(row["why"], "after 2 attempts");
    }
}
