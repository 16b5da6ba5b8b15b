//! Rust text with comments and the bodies of literals blanked, so that scanning it sees code only;
//! and the few questions the rules ask of it. Leaves out parsing: macros are read as they stand.

/// Blanked code, with the line structure of the source.
pub(super) struct Code(String);

impl Code {
    /// Blanks comments and the bodies of strings and characters. Newlines stay.
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
            let length = if rest.starts_with(b"//") {
                rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                block_comment(rest)
            } else if let Some(length) = raw_string(rest).filter(|_| !after_word) {
                length
            } else if rest[0] == b'"' {
                quoted(rest)
            } else if rest[0] == b'\'' {
                character(rest).unwrap_or(0)
            } else {
                0
            };
            if length == 0 {
                out.push(bytes[at]);
                at += 1;
            } else {
                out.extend(rest[..length].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
                at += length;
            }
        }
        Self(String::from_utf8_lossy(&out).into_owned())
    }

    /// The blanked text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0[..offset].matches('\n').count() + 1
    }

    /// The first segment after every `crate::`, also inside a group, with its line.
    pub(super) fn crate_heads(&self) -> Vec<(usize, String)> {
        let mut heads = Vec::new();
        for (at, prefix) in self.0.match_indices("crate::") {
            if self.0[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let start = at + prefix.len();
            let rest = &self.0[start..];
            match rest.trim_start().strip_prefix('{') {
                None => heads.push((self.line(start), word(rest.trim_start()))),
                Some(group) => {
                    let start = start + (rest.len() - group.len());
                    for (offset, member) in members(group) {
                        heads.push((self.line(start + offset), word(member)));
                    }
                }
            }
        }
        heads.retain(|(_, head)| !head.is_empty());
        heads
    }

    /// Lines on which a crate is named: at the head of a path, or whole in a `use`.
    pub(super) fn mentions(&self, name: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        for (at, _) in self.0.match_indices(name) {
            let before = &self.0[..at];
            let after = &self.0[at + name.len()..];
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
                continue;
            }
            // `crate::zip::x` or `self::zip::x` is ours; `::zip::x` is theirs.
            if before.strip_suffix("::").is_some_and(|path| path.ends_with(|c: char| c.is_alphanumeric() || c == '_')) {
                continue;
            }
            let path = after.starts_with("::");
            let whole = before.trim_end().ends_with("use") && after.trim_start().starts_with([';', 'a']);
            if path || whole {
                lines.push(self.line(at));
            }
        }
        lines
    }
}

/// The members of a `use` group after its `{`, each with the offset at which it begins.
fn members(group: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let member = &group[start..at];
                let trimmed = member.trim_start();
                if !trimmed.is_empty() {
                    found.push((start + member.len() - trimmed.len(), trimmed));
                }
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of a raw string, or of a byte or C one, if one begins here.
fn raw_string(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.iter().take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count();
    if prefix == 0 || prefix > 2 || bytes[prefix - 1] != b'r' {
        return None;
    }
    let hashes = bytes[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let body = prefix + hashes + 1;
    if bytes.get(body - 1) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let end = bytes[body..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(bytes.len(), |end| body + end + close.len()))
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a character literal; `None` if the quote begins a lifetime.
fn character(bytes: &[u8]) -> Option<usize> {
    if bytes.get(1) == Some(&b'\\') {
        let close = bytes.iter().skip(3).position(|byte| *byte == b'\'')?;
        return Some(close + 4);
    }
    // Four bytes hold any one character, and may cut the next one.
    let window = &bytes[1..bytes.len().min(5)];
    let first = String::from_utf8_lossy(window).chars().next()?;
    (bytes.get(1 + first.len_utf8()) == Some(&b'\'')).then(|| 2 + first.len_utf8())
}
