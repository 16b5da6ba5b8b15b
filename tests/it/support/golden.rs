//! Golden files: the text a test expects lies in `tests/`, is compared whole, and is rewritten when
//! `PARTITA_BLESS=1`. Leaves out where the text comes from.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use partita::base::Environment;

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a text with `tests/<path>`, or writes it there when asked to bless.
#[track_caller]
pub(crate) fn golden(path: &str, actual: &str) {
    let bless = Environment::of_process().raw("PARTITA_BLESS").is_some_and(|value| value == "1");
    if let Err(difference) = compare(&repository("tests").join(path), actual, bless) {
        panic!("tests/{path} differs; if the new text is right, run again with PARTITA_BLESS=1\n{difference}");
    }
}

/// Compares with a file. When blessing, writes it instead if it differs.
pub(super) fn compare(file: &Path, actual: &str, bless: bool) -> Result<(), String> {
    let expected = fs::read_to_string(file).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    if bless {
        let folder = file.parent().ok_or("a golden file lies in a folder")?;
        fs::create_dir_all(folder).and_then(|()| fs::write(file, actual)).map_err(|error| error.to_string())?;
        return Ok(());
    }
    Err(difference(&expected, actual))
}

/// The lines between the common beginning and the common end, with two lines around them.
fn difference(expected: &str, actual: &str) -> String {
    const AROUND: usize = 2;
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &old[head.saturating_sub(AROUND)..head] {
        let _ = writeln!(text, "  {line}");
    }
    for line in &old[head..old.len() - tail] {
        let _ = writeln!(text, "- {line}");
    }
    for line in &new[head..new.len() - tail] {
        let _ = writeln!(text, "+ {line}");
    }
    for line in &new[new.len() - tail..(new.len() - tail + AROUND).min(new.len())] {
        let _ = writeln!(text, "  {line}");
    }
    if old == new {
        text.push_str("(the line ends, or the last newline, differ)\n");
    }
    text
}
