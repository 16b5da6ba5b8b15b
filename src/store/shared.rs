//! The part of manifests that is the same in very many: the tools of an action, all that a shell may start among them.
//! The history keeps it once, under its digest. Leaves out what a manifest says: see the plan's `key`.

use rusqlite::{Connection, params};
use serde_json::value::RawValue;

use crate::base::Digest;

/// Bytes from which on it is kept apart.
const LARGE: usize = 256;
/// Parts from which on those are looked for that no row needs.
const MANY: i64 = 1_000;
/// What stands in its place.
const PLACE: &str = "\"tools\"";

/// A manifest without its tools, and these, if they are large.
pub(super) fn split(manifest: &str) -> Option<(String, String)> {
    let items: Vec<&RawValue> = serde_json::from_str(manifest).ok()?;
    let large = |item: &&RawValue| item.get().starts_with("{\"n\":\"tools\"") && item.get().len() >= LARGE;
    let at = items.iter().position(large)?;
    let mut parts: Vec<&str> = items.iter().map(|item| item.get()).collect();
    let tools = std::mem::replace(&mut parts[at], PLACE).to_owned();
    Some((format!("[{}]", parts.join(",")), tools))
}

/// A manifest with its tools.
pub(super) fn join(manifest: String, tools: Option<&str>) -> String {
    let Some(tools) = tools else { return manifest };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(&manifest) else { return manifest };
    let parts: Vec<&str> = items.iter().map(|item| if item.get() == PLACE { tools } else { item.get() }).collect();
    format!("[{}]", parts.join(","))
}

/// Keeps the tools of a manifest: what is left of it for the row, and where they are.
pub(super) fn keep(connection: &Connection, manifest: &str) -> rusqlite::Result<(String, Option<Vec<u8>>)> {
    let Some((rest, tools)) = split(manifest) else { return Ok((manifest.to_owned(), None)) };
    let digest = Digest::of_blob(tools.as_bytes()).as_bytes().to_vec();
    connection
        .prepare_cached("INSERT OR IGNORE INTO parts (digest, text) VALUES (?1, ?2)")?
        .execute(params![digest, tools])?;
    Ok((rest, Some(digest)))
}

/// Removes what no row needs any more, when it has become much.
pub(super) fn prune(connection: &Connection) -> rusqlite::Result<()> {
    let count: i64 = connection.query_row("SELECT count(*) FROM parts", [], |row| row.get(0))?;
    if count > MANY {
        let sql = "DELETE FROM parts WHERE digest NOT IN (SELECT tools FROM latest WHERE tools IS NOT NULL)";
        connection.execute(sql, [])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn what_is_split_is_joined_byte_for_byte() {
        let tools =
            format!("{{\"n\":\"tools\",\"t\":15,\"v\":{{\"m\":[[\"awk\",{{\"d\":\"{}\"}}]]}}}}", "a".repeat(300));
        let args = "{\"n\":\"args\",\"t\":11,\"v\":{\"l\":[{\"s\":\"tools\"},{\"s\":\"},\\\"tools\\\"\"}]}}";
        for manifest in [format!("[{args},{tools},{args}]"), format!("[{tools}]")] {
            let (rest, apart) = split(&manifest).expect("it is large");
            assert!(rest.len() + apart.len() <= manifest.len() + 8 && apart == tools, "{rest}");
            assert_eq!(join(rest, Some(&apart)), manifest);
        }
        for other in [format!("[{args}]"), "[1]".to_owned(), "{}".to_owned(), "no".to_owned()] {
            assert_eq!(split(&other), None);
            assert_eq!(join(other.clone(), None), other);
        }
    }
}
