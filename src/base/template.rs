//! How deep templates are nested: their engine takes some stack for every level, and a stranger may write as many
//! as a file holds. Leaves out what templates mean, which is the engine's to say.

use crate::base::Limits;

/// Words that open a level which an `end…` closes.
const OPENS: &[&str] = &["if", "for", "with", "block", "filter", "macro", "call", "autoescape"];

/// Where a template is nested deeper than `Limits::TEMPLATE_DEPTH`: the place of the tag, in bytes. Counted are
/// blocks in each other, with every `elif` of one, and in a tag brackets in each other and what is chained
/// in them: operators, filters, attributes, calls.
pub fn too_deep_template(text: &str) -> Option<usize> {
    let mut blocks: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|found| found + at) {
        let inside = open + 2;
        match text.as_bytes().get(open + 1) {
            Some(b'#') => at = text[inside..].find("#}").map_or(text.len(), |end| inside + end + 2),
            Some(b'{') => {
                let (end, deepest, _) = tag(text, inside, b"}}");
                if blocks.iter().sum::<usize>() + deepest > Limits::TEMPLATE_DEPTH {
                    return Some(open);
                }
                at = end;
            }
            Some(b'%') => {
                let (end, deepest, word) = tag(text, inside, b"%}");
                match word {
                    "raw" => {
                        at = end_of_raw(text, end);
                        continue;
                    }
                    "elif" => {
                        if let Some(last) = blocks.last_mut() {
                            *last += 1;
                        }
                    }
                    word if OPENS.contains(&word) => blocks.push(1),
                    word if word.strip_prefix("end").is_some_and(|word| OPENS.contains(&word)) => {
                        blocks.pop();
                    }
                    _ => {}
                }
                if blocks.iter().sum::<usize>() + deepest > Limits::TEMPLATE_DEPTH {
                    return Some(open);
                }
                at = end;
            }
            _ => at = open + 1,
        }
    }
    None
}

/// What follows a raw block that begins before a place.
fn end_of_raw(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = text[at..].find("{%").map(|found| found + at) {
        let inside = text[open + 2..].trim_start_matches(['-', '+']).trim_start();
        at = open + 2;
        if inside.starts_with("endraw") {
            return text[at..].find("%}").map_or(text.len(), |end| at + end + 2);
        }
    }
    text.len()
}

/// A tag whose inside begins at a place: where it ends, how deep it is, and its first word.
fn tag<'t>(text: &'t str, from: usize, close: &[u8]) -> (usize, usize, &'t str) {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    // What is chained in each open bracket, and in all of them.
    let (mut chains, mut depth, mut deepest) = (vec![0usize], 0usize, 0usize);
    let mut first = "";
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        if bytes[at..].starts_with(close) && (chains.len() == 1 || close[0] == b'%') {
            return (at + 2, deepest, first);
        }
        match byte {
            b'"' | b'\'' => {
                at += 1;
                while let Some(inner) = bytes.get(at).filter(|inner| *inner != byte) {
                    at += if *inner == b'\\' { 2 } else { 1 };
                }
            }
            byte if is_word(byte) => {
                let start = at;
                while bytes.get(at + 1).is_some_and(is_word) {
                    at += 1;
                }
                let word = &text[start..=at];
                if first.is_empty() {
                    first = word;
                }
                if matches!(word, "not" | "and" | "or" | "is" | "in" | "if" | "else") {
                    depth += 1;
                    *chains.last_mut().unwrap_or(&mut 0) += 1;
                }
            }
            b'(' | b'[' | b'{' => {
                // A call or an index is a link of the chain before it as well.
                depth += 1;
                *chains.last_mut().unwrap_or(&mut 0) += 1;
                chains.push(0);
            }
            b')' | b']' | b'}' => {
                if chains.len() > 1 {
                    depth -= chains.pop().unwrap_or(0);
                }
            }
            b',' => {
                if let Some(last) = chains.last_mut() {
                    depth -= std::mem::take(last);
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                depth += 1;
                *chains.last_mut().unwrap_or(&mut 0) += 1;
            }
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    (text.len(), deepest, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_not_deep() {
        for text in [
            "",
            "no tags, { braces } and }} more",
            "{{ a.b | lower }} {% for x in y %}{{ x }}{% endfor %}",
            "{% raw %}{{ ((((((((((((( {% endraw %}{{ x }}",
            "{# ((((((((( #}",
            "{{ '((((((((((((' ~ \"]]]\\\"[[[[\" }}",
            "{{ {'a': {'b': 1}} }}",
        ] {
            assert_eq!(too_deep_template(text), None, "{text}");
        }
        let list = (0..5_000).map(|number| format!("{number}.5")).collect::<Vec<_>>().join(", ");
        assert_eq!(too_deep_template(&format!("{{% set all = [{list}] %}}{{{{ all }}}}")), None);
        let tags = "{% if a %}{{ a }}{% elif b %}{{ b }}{% endif %}".repeat(5_000);
        assert_eq!(too_deep_template(&tags), None);
        let raw = format!("{{% raw %}}{}{{% endraw %}}", "{{ ( ".repeat(5_000));
        assert_eq!(too_deep_template(&raw), None);
    }

    #[test]
    fn what_is_deep_is_found_at_its_tag() {
        let many = 5_000;
        let of = |part: &str| part.repeat(many);
        for text in [
            format!("{{{{ {}a }}}}", of("-")),
            format!("{{{{ a{} }}}}", of(".b")),
            format!("{{{{ a{} }}}}", of("|lower")),
            format!("{{{{ a{} }}}}", of("+a")),
            format!("{{{{ a{} }}}}", of(" ~ a")),
            format!("{{{{ {}a }}}}", of("not ")),
            format!("{{{{ a{} }}}}", of(" and a")),
            format!("{{{{ {}a{} }}}}", of("("), of(")")),
            format!("{{{{ a{} }}}}", of("()")),
            format!("{{{{ a{} }}}}", of("[0]")),
            format!("{{{{ {}{} }}}}", of("["), of("]")),
            format!("{{{{ {} }}}}", of("{'a': ")),
            format!("{{{{ a{} }}}}", of(" is none")),
            format!("{{{{ a{} }}}}", of(" if a else a")),
            format!("{{{{ a{} }}}}", of(" < a")),
            format!("{{{{ f({} }}}}", of("1, f(")),
            format!("{{% if a %}}{}{{% endif %}}", of("{% elif a %}")),
            format!("{{% if {}a %}}{{% endif %}}", of("-")),
            of("{% if a %}"),
            of("{%- for a in b -%}"),
        ] {
            let found = too_deep_template(&format!("fine {text}"));
            assert!(found.is_some_and(|at| at >= 5), "{}", &text[..60]);
        }
    }
}
