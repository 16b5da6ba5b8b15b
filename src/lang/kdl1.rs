//! KDL 1 text to KDL 2: keywords, raw strings, strings over several lines, and escapes and names that
//! KDL 2 no longer has. What is KDL 2 already stays as it is. Leaves out what the document means.

/// A text in KDL 2 that says what the text in KDL 1 said.
pub fn upgrade(text: &str) -> String {
    let mut upgrade = Upgrade { text, at: 0, out: String::with_capacity(text.len() + text.len() / 16) };
    while upgrade.at < text.len() {
        upgrade.step();
    }
    let mut out = upgrade.out;
    if let Some(at) = marker(&out) {
        out.replace_range(at..=at, "2");
    }
    out
}

/// Where the `1` of `/- kdl-version 1` stands, which only the first line of a text may be.
fn marker(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\u{FEFF}').unwrap_or(text).trim_start();
    let rest = rest.strip_prefix("/-")?.trim_start_matches([' ', '\t']).strip_prefix("kdl-version")?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let after = rest.strip_prefix('1')?;
    after.chars().next().is_none_or(char::is_whitespace).then(|| text.len() - rest.len())
}

struct Upgrade<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

/// Whether a character ends a bare word in KDL 1 or 2.
fn ends_word(c: char) -> bool {
    c.is_whitespace()
        || c == '\u{FEFF}'
        || matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | '<' | '>' | ';' | '[' | ']' | '=' | ',' | '"')
}

impl Upgrade<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Gives the next bytes on as they are.
    fn keep(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        if rest.starts_with("//") {
            self.keep(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.keep(comment_len(rest));
        } else if rest.starts_with("/-") {
            self.keep(2);
        } else if let Some(inside) = rest.strip_prefix("\"\"\"") {
            let close = inside.find("\"\"\"").map_or(rest.len(), |at| at + 6);
            self.keep(close);
        } else if first == '"' {
            self.quoted();
        } else if let Some(hashes) = raw_hashes(rest) {
            self.raw(hashes);
        } else if let Some(length) = new_raw_len(rest) {
            self.keep(length);
        } else if ends_word(first) {
            self.keep(first.len_utf8());
        } else {
            self.word();
        }
    }

    fn word(&mut self) {
        let rest = self.rest();
        let length = rest.find(ends_word).unwrap_or(rest.len()).max(1);
        let word = &rest[..length];
        let is_name = rest[length..].starts_with('=');
        let new = match word {
            "true" | "false" | "null" if !is_name => format!("#{word}"),
            "true" | "false" | "null" | "inf" | "-inf" | "nan" => format!("\"{word}\""),
            "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => word.to_owned(),
            // A name in KDL 1, nothing in KDL 2.
            _ if word.contains('#') => quoted(word),
            _ => word.to_owned(),
        };
        self.out.push_str(&new);
        self.at += length;
    }

    /// A string in quotes: the line ends in it become escapes, `\/` loses its meaning.
    fn quoted(&mut self) {
        let rest = self.rest();
        let mut new = String::from("\"");
        let mut chars = rest.char_indices().skip(1);
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    new.push('"');
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, '/')) => new.push('/'),
                    Some((_, other)) => new.extend(['\\', other]),
                    None => new.push('\\'),
                },
                '\n' => new.push_str("\\n"),
                '\r' => new.push_str("\\r"),
                other => new.push(other),
            }
        }
        self.out.push_str(&new);
        self.at += end;
    }

    /// `r"…"` with so many `#` around.
    fn raw(&mut self, hashes: usize) {
        let rest = self.rest();
        let open = 1 + hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        let Some(length) = rest[open..].find(&close) else {
            self.keep(rest.len());
            return;
        };
        let inside = &rest[open..open + length];
        let total = open + length + close.len();
        // A line end, and a quote at the beginning, would begin a string of several lines.
        let new = if inside.contains(['\n', '\r']) || inside.starts_with('"') {
            quoted(inside)
        } else {
            let hashes = "#".repeat(hashes.max(1));
            format!("{hashes}\"{inside}\"{hashes}")
        };
        self.out.push_str(&new);
        self.at += total;
    }
}

/// A string as KDL 2 writes it in quotes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// How many `#` a raw string of KDL 1 that begins here has.
fn raw_hashes(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a raw string of KDL 2 that begins here.
fn new_raw_len(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    if hashes == 0 || !rest[hashes..].starts_with('"') {
        return None;
    }
    let quotes = if rest[hashes..].starts_with("\"\"\"") { 3 } else { 1 };
    let open = hashes + quotes;
    let close = format!("{}{}", "\"".repeat(quotes), "#".repeat(hashes));
    Some(rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len()))
}

/// The length of a block comment with those nested in it.
fn comment_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::upgrade;

    #[test]
    fn what_changed_between_the_versions_is_written_anew() {
        for (old, new) in [
            ("a true false null\n", "a #true #false #null\n"),
            ("a x=true y=(t)null; b { c false }", "a x=#true y=(t)#null; b { c #false }"),
            ("a r\"C:\\dir\" r#\"say \"x\"\"#", "a #\"C:\\dir\"# #\"say \"x\"\"#"),
            ("a r\"one\ntwo\"", "a \"one\\ntwo\""),
            ("a r#\"\"\"#", "a \"\\\"\""),
            ("a \"https:\\/\\/x\" \"\\\"q\\\"\"", "a \"https://x\" \"\\\"q\\\"\""),
            ("a \"one\ntwo\"", "a \"one\\ntwo\""),
            ("a#b inf=1; nan 2", "\"a#b\" \"inf\"=1; \"nan\" 2"),
            ("// true \"\n/* null /* r\"x\" */ */ a /-true", "// true \"\n/* null /* r\"x\" */ */ a /-#true"),
            ("/- kdl-version 1\na true", "/- kdl-version 2\na #true"),
            ("truest nullable=1 bar\"x\"", "truest nullable=1 bar\"x\""),
        ] {
            assert_eq!(upgrade(old), new);
        }
    }

    #[test]
    fn what_is_new_already_stays() {
        for text in [
            "a #true #\"raw \"true\" \"# ##\"x\"#\"## k=#null\n",
            "a \"\"\"\n  true\n  \"\"\" b\n",
            "é ü=1 \"true\" \"",
            "/* open",
        ] {
            assert_eq!(upgrade(text), text);
        }
    }
}
