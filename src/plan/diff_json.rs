//! A difference for programs: JSON with a version of its own, and SARIF 2.1.0 for services that show
//! findings beside the lines of a change. Leaves out forms for people.
//!
//! Source of the latter: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.

use serde_json::{Value as Json, json};

use crate::base::Digest;
use crate::plan::diff::{Change, Group, Place, PlanDiff, Review, Root, Subject};
use crate::plan::diff_show::{change_line, members, movement, safe, subject};
use crate::plan::{Outlook, Privilege};

/// The version of the JSON form of a difference.
pub const DIFF_FORMAT: u32 = 1;
/// Addresses listed of one cause, unless all was asked for.
const MEMBERS: usize = 20;

/// A difference as one JSON document; its schema is published with the documentation.
pub fn review_json(review: &Review, full: bool) -> Json {
    json!({
        "diff": DIFF_FORMAT,
        "before": review.before,
        "after": review.after,
        "changed": !review.is_empty(),
        "causes": review.causes(),
        "privileged": review.privileged(),
        "graphs": review.graphs.iter().map(|graph| graph_json(graph, full)).collect::<Vec<_>>(),
        "skipped": review.skipped.iter().map(|(graph, why)| json!({"graph": graph, "why": why})).collect::<Vec<_>>(),
        "cosmetic": review.cosmetic,
        "unforeseen": review.unforeseen,
        "inputs": review.inputs.iter().map(|(file, count)| json!({"path": file, "actions": count})).collect::<Vec<_>>(),
    })
}

fn graph_json(graph: &PlanDiff, full: bool) -> Json {
    let list = |all: &[String]| if full { all.to_vec() } else { all.iter().take(MEMBERS).cloned().collect() };
    let groups = |all: &[Group]| {
        let one = |group: &Group| {
            json!({
                "count": group.members.len(),
                "members": list(&group.members),
                "was": list(&group.was),
                "place": group.place.as_ref().map(place_json),
            })
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    let privileged = graph.privileged.iter().map(|item| {
        json!({
            "subject": subject_word(item.subject),
            "count": item.members.len(),
            "members": list(&item.members),
            "ways": item.ways.iter().map(|(way, text)| json!({"kind": way.word(), "text": text})).collect::<Vec<_>>(),
            "before": item.before.as_ref().map(place_json),
            "after": item.after.as_ref().map(place_json),
        })
    });
    let roots = graph.roots.iter().map(|root| {
        json!({
            "subject": subject_word(root.subject),
            "count": root.members.len(),
            "members": list(&root.members),
            "varied": root.varied,
            "changes": root.changes.iter().map(change_json).collect::<Vec<_>>(),
            "before": root.before.as_ref().map(place_json),
            "after": root.after.as_ref().map(place_json),
        })
    });
    json!({
        "graph": graph.graph,
        "before": graph.before.map(|digest| digest.hex()),
        "after": graph.after.map(|digest| digest.hex()),
        "changed": !graph.is_empty(),
        "privileged": privileged.collect::<Vec<_>>(),
        "roots": roots.collect::<Vec<_>>(),
        "moved": groups(&graph.moved),
        "added": groups(&graph.added),
        "removed": groups(&graph.removed),
        "rekeyed": { "count": graph.rekeyed.len(), "members": list(&graph.rekeyed) },
        "actions": {
            "total": graph.propagation.total,
            "redefined": graph.propagation.redefined,
            "volatile": graph.propagation.volatile,
        },
        "cost": { "before_micro_usd": graph.cost.0, "after_micro_usd": graph.cost.1 },
        "forecast": graph.outlook.as_ref().map(outlook_json),
    })
}

fn outlook_json(outlook: &Outlook) -> Json {
    json!({
        "text": outlook.sentence(),
        "total": outlook.total,
        "run": outlook.run,
        "may_run": outlook.may_run,
        "anyway": outlook.anyway,
        "gated": outlook.gated,
        "fail": outlook.fail,
        "work": {"least_ms": outlook.least_ms, "most_ms": outlook.most_ms, "actions_without_history": outlook.untimed},
        "cost": {"least_micro_usd": outlook.least_usd, "most_micro_usd": outlook.most_usd},
        "unasked": outlook.unasked,
    })
}

fn subject_word(subject: Subject) -> &'static str {
    match subject {
        Subject::Graph => "graph",
        Subject::Tool => "tool",
        Subject::Service => "service",
        Subject::Action => "action",
    }
}

fn change_json(change: &Change) -> Json {
    json!({"field": change.field, "before": change.before, "after": change.after, "keyed": change.keyed})
}

fn place_json(place: &Place) -> Json {
    json!({"file": place.file, "line": place.line})
}

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/// What is not privileged, by rule: the rule's id and what it means.
const PLAIN: &[(&str, &str)] = &[
    ("changed", "A definition changed"),
    ("moved", "The same action stands at another address"),
    ("added", "An action is new"),
    ("removed", "An action is gone"),
];

/// A difference as a SARIF log: a warning for what is privileged, a note for every other cause.
pub fn review_sarif(review: &Review) -> String {
    let mut results = Vec::new();
    for graph in &review.graphs {
        sarif_results(graph, &review.prefix, &mut results);
    }
    let rule = |id: &str, text: &str, level: &str| {
        json!({
            "id": format!("plan/{id}"),
            "shortDescription": {"text": text},
            "defaultConfiguration": {"level": level},
        })
    };
    let rules: Vec<Json> = Privilege::ALL
        .iter()
        .map(|way| rule(way.word(), way.meaning(), "warning"))
        .chain(PLAIN.iter().map(|(id, text)| rule(id, text, "note")))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "partita diff", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "invocations": [{"executionSuccessful": true}],
            "columnKind": "unicodeCodePoints",
            "properties": {"before": review.before, "after": review.after},
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn sarif_results(graph: &PlanDiff, prefix: &str, results: &mut Vec<Json>) {
    let result = |rule: &str, level, text: &str, members: &[String], before, after| {
        result(prefix, rule, level, text, members, before, after)
    };
    for item in &graph.privileged {
        for (way, text) in &item.ways {
            let text = format!("{}: {}", members(&item.members), safe(text));
            results.push(result(
                way.word(),
                "warning",
                &text,
                &item.members,
                item.before.as_ref(),
                item.after.as_ref(),
            ));
        }
    }
    for root in &graph.roots {
        results.push(result(
            "changed",
            "note",
            &root_text(root),
            &root.members,
            root.before.as_ref(),
            root.after.as_ref(),
        ));
    }
    for group in &graph.moved {
        results.push(result("moved", "note", &movement(group), &group.members, None, group.place.as_ref()));
    }
    for group in &graph.added {
        let text = format!("added {}", members(&group.members));
        results.push(result("added", "note", &text, &group.members, None, group.place.as_ref()));
    }
    for group in &graph.removed {
        let text = format!("removed {}", members(&group.members));
        results.push(result("removed", "note", &text, &group.members, group.place.as_ref(), None));
    }
}

fn root_text(root: &Root) -> String {
    const SHOWN: usize = 5;
    let mut lines = vec![subject(root)];
    lines.extend(root.changes.iter().take(SHOWN).map(|change| change_line(change, false)));
    if root.changes.len() > SHOWN {
        lines.push(format!("and {} more fields", root.changes.len() - SHOWN));
    }
    lines.join("\n")
}

fn result(
    prefix: &str,
    rule: &str,
    level: &str,
    text: &str,
    members: &[String],
    before: Option<&Place>,
    after: Option<&Place>,
) -> Json {
    let physical = |place: &Place| json!({"artifactLocation": {"uri": uri(prefix, &place.file)}, "region": {"startLine": place.line.max(1)}});
    let named = members.first().map(|name| json!({"fullyQualifiedName": name}));
    let mut location = serde_json::Map::new();
    if let Some(place) = after.or(before) {
        location.insert("physicalLocation".to_owned(), physical(place));
    }
    location.insert("logicalLocations".to_owned(), json!(named.into_iter().collect::<Vec<_>>()));
    let related = match (before, after) {
        (Some(before), Some(_)) => {
            vec![json!({"id": 0, "message": {"text": "before the change"}, "physicalLocation": physical(before)})]
        }
        _ => Vec::new(),
    };
    // The same finding of a later push is the same: where it stands does not count.
    let identity = format!("{rule}\n{}", members.join("\n"));
    json!({
        "ruleId": format!("plan/{rule}"),
        "level": level,
        "message": {"text": text},
        "locations": [location],
        "relatedLocations": related,
        "partialFingerprints": {"partitaCause/v1": Digest::of_blob(identity.as_bytes()).hex()},
    })
}

/// A path as a relative URI.
fn uri(prefix: &str, name: &str) -> String {
    // The standard library is in no repository.
    let prefix = if name.starts_with('<') { "" } else { prefix };
    let mut out = String::new();
    for byte in prefix.bytes().chain(name.bytes()) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
