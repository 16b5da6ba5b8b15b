//! Text as the formatter would leave it: lines by depth, blank lines between what goes over several, and
//! strings, numbers with units and values as they are best written. Leaves out what is printed.

use std::fmt::Write;

use crate::lang::{Kind, Node, Value};

/// What is printed so far.
#[derive(Default)]
pub(super) struct Out {
    pub(super) text: String,
    depth: usize,
    /// Whether nothing stands in the innermost block yet.
    fresh: bool,
}

impl Out {
    /// For what stands so deep.
    pub(super) fn at(depth: usize) -> Self {
        Self { text: String::new(), depth, fresh: true }
    }

    /// One line.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{:1$}{text}", "", 4 * self.depth);
        self.fresh = false;
    }

    /// A line that opens a block.
    pub(super) fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        self.fresh = true;
    }

    /// The end of a block; one without content is none.
    pub(super) fn close(&mut self) {
        self.depth -= 1;
        match self.text.strip_suffix(" {\n").filter(|_| self.fresh).map(str::len) {
            Some(length) => {
                self.text.truncate(length);
                self.text.push('\n');
            }
            None => self.line("}"),
        }
        self.fresh = false;
    }

    /// A blank line, but at the edge of a block.
    pub(super) fn gap(&mut self) {
        if !self.fresh {
            self.text.push('\n');
        }
    }

    /// A string: over several lines where it has several.
    pub(super) fn string(&self, text: &str) -> String {
        // White space at the ends of lines is not seen, and lines of it alone are not kept.
        let plain = |c: char| !c.is_control() && !hidden(c) && c != '\\';
        let shown = |line: &str| line.trim_end() == line && line.chars().all(plain) && !line.contains("\"\"\"");
        if !text.trim_end_matches('\n').contains('\n') || !text.split('\n').all(shown) {
            return quote(text);
        }
        let indent = 4 * (self.depth + 1);
        let mut out = String::from("\"\"\"\n");
        for line in text.split('\n') {
            let _ = if line.is_empty() { writeln!(out) } else { writeln!(out, "{:indent$}{line}", "") };
        }
        let _ = write!(out, "{:indent$}\"\"\"", "");
        out
    }

    /// A string in a place where holes are read.
    pub(super) fn holed(&self, text: &str) -> String {
        self.string(&plain(text))
    }

    /// Arguments, each after a space.
    pub(super) fn all_holed<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> String {
        texts.into_iter().fold(String::new(), |out, text| out + " " + &self.holed(text.as_ref()))
    }

    /// A node with all that it has, its comments left out.
    pub(super) fn node(&mut self, node: &Node) {
        let mut head = quote(&node.name.value);
        // The value of a constant stands last.
        let first = if node.name.value == "let" { node.args.len().min(1) } else { node.args.len() };
        let (before, after) = node.args.split_at(first);
        for value in before {
            let _ = write!(head, " {}", self.value(value));
        }
        for property in &node.props {
            let _ = write!(head, " {}={}", quote(&property.name.value), self.value(&property.value));
        }
        for value in after {
            let _ = write!(head, " {}", self.value(value));
        }
        match &node.children {
            // A list of none.
            Some(children) if children.is_empty() => self.line(&format!("{head} {{}}")),
            Some(children) => {
                self.open(&head);
                for child in children {
                    self.node(child);
                }
                self.close();
            }
            None => self.line(&head),
        }
    }

    fn value(&self, value: &Value) -> String {
        let note = value.note.as_ref().map_or(String::new(), |note| format!("({})", note.value));
        let text = match &value.kind {
            Kind::Text(text) => self.string(text),
            Kind::Int(int) => int.to_string(),
            Kind::Decimal(text) => text.clone(),
            Kind::Bool(flag) => truth(*flag).to_owned(),
            Kind::Null => "#null".to_owned(),
        };
        note + &text
    }
}

/// A truth value.
pub(super) fn truth(flag: bool) -> &'static str {
    if flag { "#true" } else { "#false" }
}

/// Two opening braces as a text.
const BRACES: &str = "{{ '{{' }}";

/// A text in which no hole is read.
pub(super) fn plain(text: &str) -> String {
    text.replace("{{", BRACES)
}

/// Arguments of a node, each after a space.
pub(super) fn quoted<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().fold(String::new(), |out, text| out + " " + &quote(text.as_ref()))
}

/// Milliseconds in the largest unit that divides them.
pub(super) fn duration(ms: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    in_units(ms, UNITS, "ms")
}

/// Bytes in the largest unit that divides them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: &[(u64, &str)] = &[
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    in_units(bytes, UNITS, "B")
}

fn in_units(amount: u64, units: &[(u64, &str)], least: &str) -> String {
    let unit = units.iter().find(|(unit, _)| amount > 0 && amount.is_multiple_of(*unit));
    let (unit, word) = unit.copied().unwrap_or((1, least));
    format!("\"{}{word}\"", amount / unit)
}

/// Characters that are not seen, or change how others are.
fn hidden(c: char) -> bool {
    c == '\u{feff}' || ('\u{2066}'..='\u{2069}').contains(&c) || ('\u{200e}'..='\u{202e}').contains(&c)
}

/// A KDL string: bare where it is surely one datum, as a name or an option (`-c`), else quoted.
pub fn quote(text: &str) -> String {
    let head = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or(text);
    let bare = head.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(text, "true" | "false" | "null" | "inf" | "-inf" | "nan");
    if bare {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_largest_that_are_exact() {
        let durations = [(600_000, "10m"), (90_000, "90s"), (1_500, "1500ms"), (0, "0ms"), (172_800_000, "2d")];
        for (ms, text) in durations {
            assert_eq!(duration(ms), format!("\"{text}\""));
        }
        for (bytes, text) in [(1 << 30, "1GiB"), (1_500_000, "1500kB"), (1_001, "1001B"), (96 << 30, "96GiB")] {
            assert_eq!(size(bytes), format!("\"{text}\""));
        }
    }

    #[test]
    fn strings_are_bare_where_that_is_one_datum() {
        for text in ["cc", "-c", "--output", "a.b-c", "_x"] {
            assert_eq!(quote(text), text);
        }
        for text in ["", "-", "--", "-1", "-.5", "true", "-inf", "a/b", "1.2", ".x", "a b"] {
            assert_eq!(quote(text), format!("\"{text}\""));
        }
    }

    #[test]
    fn texts_of_several_lines_stay_so() {
        let out = Out::at(1);
        assert_eq!(out.string("a\n\n  b"), "\"\"\"\n        a\n\n          b\n        \"\"\"");
        assert_eq!(out.string("a\nb\n"), "\"\"\"\n        a\n        b\n\n        \"\"\"");
        assert_eq!(out.string("a \nb"), "\"a \\nb\"");
        assert_eq!(out.string("a\\n\nb"), "\"a\\\\n\\nb\"");
        assert_eq!(out.string("one line\n"), "\"one line\\n\"");
    }
}
