//! Slugs: the form in which a value becomes a segment of an address. Leaves out collision
//! handling, which is the compiler's (P0407).

/// Letters, digits, `_` and `-` stay; every other run of characters becomes one `-`.
pub fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn keeps_words_and_joins_the_rest() {
        assert_eq!(slug("lapi.c"), "lapi-c");
        assert_eq!(slug("x86_64-unknown-linux-gnu"), "x86_64-unknown-linux-gnu");
        assert_eq!(slug("a / b"), "a-b");
    }
}
