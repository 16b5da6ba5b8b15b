//! Why an action runs: compares the fields of its key with those of an earlier result and names the
//! field, path, variable or tool that differs. Leaves out how the earlier result is found.

use std::collections::BTreeMap;

use crate::base::{ActionKey, Digest, Entry, Manifest, Tree, Value};
use crate::event::{InputChange, Reason};
use crate::exec::ports::Baseline;

/// Looks up a level of a tree, in memory or in the store; `None` if it is nowhere to be had.
pub(super) type Level<'a> = dyn Fn(Digest) -> Option<Tree> + 'a;
/// The address of the action that gives a path of the input tree; `None`: the workspace does.
pub(super) type Producer<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why an action with this key and manifest has no result, given the last that is known of it.
pub(super) fn why(
    key: ActionKey,
    manifest: &Manifest,
    baseline: Option<&Baseline>,
    level: &Level<'_>,
    producer: &Producer<'_>,
) -> Reason {
    let Some(baseline) = baseline else { return Reason::NeverSeen };
    if baseline.key == key {
        return if baseline.ok { Reason::Evicted } else { Reason::PriorFailure };
    }
    let Ok(before) = Manifest::from_json(&baseline.manifest) else { return Reason::SchemaChanged };
    compare(&before, manifest, level, producer).unwrap_or(Reason::SchemaChanged)
}

/// The first difference, an action's own causes before those that came from elsewhere: schema,
/// class, definition, environment, tools, files of the workspace, outputs of other actions.
fn compare(before: &Manifest, after: &Manifest, level: &Level<'_>, producer: &Producer<'_>) -> Option<Reason> {
    let changed = changed_fields(before, after);
    let of = |name: &str| changed.get(name).copied();
    if of("schema").is_some() {
        return Some(Reason::SchemaChanged);
    }
    if of("class").is_some() || of("isolation").is_some() {
        return Some(Reason::ClassChanged);
    }
    let known = |name: &str| matches!(name, "env" | "tools" | "services" | "inputs");
    // Another tool is told before its arguments, which are others then as well.
    let own = changed.get_key_value("program").or_else(|| changed.iter().find(|(name, _)| !known(name)));
    if let Some((field, (before, after))) = own {
        return Some(Reason::DefChanged {
            field: (*field).to_owned(),
            before: shown(*before, *after),
            after: shown(*after, *before),
        });
    }
    if let Some((before, after)) = of("env") {
        return Some(Reason::EnvChanged { var: changed_member(before, after) });
    }
    if let Some((before, after)) = of("tools") {
        let name = changed_member(before, after);
        let has = |value: Option<&Value>| matches!(value, Some(Value::Map(map)) if map.contains_key(&name));
        let told = |has: bool| if has { format!("`{name}`") } else { format!("no `{name}`") };
        return Some(match (has(before), has(after)) {
            (true, true) => Reason::ToolChanged { name },
            (before, after) => {
                Reason::DefChanged { field: "tools".to_owned(), before: told(before), after: told(after) }
            }
        });
    }
    if let Some((before, after)) = of("services") {
        return Some(Reason::ServiceChanged { name: changed_member(before, after) });
    }
    let (before, after) = of("inputs")?;
    let mut paths = Vec::new();
    changed_paths(root(before, level), root(after, level), "", level, &mut paths);
    // A file of the workspace is a cause; what other actions made is a consequence.
    let mut consequence = None;
    for (path, how) in &paths {
        match producer(path) {
            None => return Some(Reason::InputChanged { path: path.clone(), how: *how }),
            Some(addr) => {
                consequence.get_or_insert_with(|| Reason::DepOutputChanged { addr, path: path.clone() });
            }
        }
    }
    Some(consequence.unwrap_or(Reason::InputChanged { path: ".".to_owned(), how: InputChange::Edited }))
}

type Change<'a> = (Option<&'a Value>, Option<&'a Value>);

fn changed_fields<'a>(before: &'a Manifest, after: &'a Manifest) -> BTreeMap<&'a str, Change<'a>> {
    let mut changed: BTreeMap<&str, Change<'_>> = BTreeMap::new();
    for field in &before.fields {
        changed.entry(&field.name).or_default().0 = Some(&field.value);
    }
    for field in &after.fields {
        changed.entry(&field.name).or_default().1 = Some(&field.value);
    }
    changed.retain(|_, (before, after)| match (before, after) {
        // A manifest may know the top level of a tree or not; the digest decides.
        (Some(Value::Tree { digest: before, .. }), Some(Value::Tree { digest: after, .. })) => before != after,
        (before, after) => before != after,
    });
    changed
}

/// Bytes of a value in a reason.
const SHOWN: usize = 200;

/// A value for people. Of lists only the part around the first difference.
fn shown(value: Option<&Value>, other: Option<&Value>) -> String {
    let text = match value {
        None => "absent".to_owned(),
        Some(Value::Text(text)) => match other {
            Some(Value::Text(other)) => around(text, other),
            _ => text.clone(),
        },
        Some(Value::Int(int)) => int.to_string(),
        Some(Value::Flag(flag)) => flag.to_string(),
        Some(Value::Digest(digest)) => format!("b3:{digest}"),
        Some(Value::Bytes(bytes)) => format!("{} bytes", bytes.len()),
        Some(Value::List(values)) => {
            let others: &[Value] = if let Some(Value::List(others)) = other { others } else { &[] };
            let same = values.iter().zip(others).take_while(|(a, b)| a == b).count();
            let rest: Vec<String> =
                values[same..].iter().zip(same..).map(|(value, at)| word(shown(Some(value), others.get(at)))).collect();
            format!("{}{}", if same > 0 { "… " } else { "" }, rest.join(" "))
        }
        Some(Value::Set(values)) => values.iter().map(|value| shown(Some(value), None)).collect::<Vec<_>>().join(" "),
        Some(Value::Map(map)) => {
            let others = if let Some(Value::Map(others)) = other { Some(others) } else { None };
            let differs =
                |(name, value): &(&String, &Value)| others.is_none_or(|others| others.get(*name) != Some(*value));
            let members = map.iter().filter(differs);
            let of = |name: &String| others.and_then(|others| others.get(name));
            members
                .map(|(name, value)| format!("{name}={}", shown(Some(value), of(name))))
                .collect::<Vec<_>>()
                .join(" ")
        }
        Some(Value::Tree { digest, .. }) => format!("b3:{digest}"),
    };
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// A word of a list, in quotes where it would read as several or as none.
fn word(text: String) -> String {
    if text.is_empty() || text.contains(char::is_whitespace) { format!("{text:?}") } else { text }
}

/// A text from shortly before where it differs from another.
fn around(text: &str, other: &str) -> String {
    const LEAD: usize = 40;
    let same = text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    if same <= 2 * LEAD || text == other {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(same - LEAD)).collect()
}

/// The first name whose value differs between two maps.
fn changed_member(before: Option<&Value>, after: Option<&Value>) -> String {
    let map = |value: Option<&Value>| match value {
        Some(Value::Map(map)) => map.clone(),
        _ => BTreeMap::new(),
    };
    let (before, after) = (map(before), map(after));
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).min().cloned().unwrap_or_default()
}

fn root(value: Option<&Value>, level: &Level<'_>) -> Option<Tree> {
    match value {
        Some(Value::Tree { top: Some(top), .. }) => Some(top.clone()),
        Some(Value::Tree { digest, top: None }) => level(*digest),
        _ => Some(Tree::default()),
    }
}

/// Paths gathered before the search ends.
const PATHS: usize = 256;

/// Paths that differ, in order. Where a level is no longer to be had, its folder stands for it.
fn changed_paths(
    before: Option<Tree>,
    after: Option<Tree>,
    at: &str,
    level: &Level<'_>,
    out: &mut Vec<(String, InputChange)>,
) {
    let (Some(before), Some(after)) = (before, after) else {
        out.push((if at.is_empty() { ".".to_owned() } else { at.to_owned() }, InputChange::Edited));
        return;
    };
    let mut names: Vec<&String> = before.entries.keys().chain(after.entries.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (old, new) = (before.entries.get(name), after.entries.get(name));
        if old == new || out.len() >= PATHS {
            continue;
        }
        let path = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        let folder = |entry: Option<&Entry>| match entry {
            Some(Entry::Dir { digest }) => Some(*digest),
            _ => None,
        };
        match (folder(old), folder(new)) {
            (Some(old), Some(new)) => changed_paths(level(old), level(new), &path, level, out),
            (Some(old), None) if new.is_none() => changed_paths(level(old), Some(Tree::default()), &path, level, out),
            (None, Some(new)) if old.is_none() => changed_paths(Some(Tree::default()), level(new), &path, level, out),
            _ => out.push((path, InputChange::of(old.is_some(), new.is_some()))),
        }
    }
}

#[cfg(test)]
mod tests;
