//! What codes and nodes mean: pages of diagnostics, the registry of errors, and the reference of nodes, each
//! found by its name. Leaves out their texts, which stand where the codes do.

use std::fmt::Write;

use crate::bundle;
use crate::diag::{Code, did_you_mean};
use crate::lang::{TOPICS, reference_node, reference_property, reference_topic, reference_words};
use crate::ops::Error;
use crate::{exec, store};

/// Errors of a request as a whole, whose codes are words.
const WORDS: &[(&str, &str, &str)] = &[
    ("usage", "the command line is wrong", "`partita VERB --help` says what may stand there."),
    ("spec", "the specs have errors", "`partita check` shows them, each with its place."),
    ("io", "the file system refused", "Look at the path and the reason in the message."),
    ("lost", "content was lost from the store after it was found whole", "Run again: what was lost is made anew."),
    ("journal", "the journal of a run cannot be read or written", "Look at the path and the reason in the message."),
    (
        "action-failed",
        "actions failed",
        "Each is told with a code of its own, and `partita log` has what they printed.",
    ),
    ("key-missing", "there is no key of that name", "`partita key generate NAME` makes one."),
    (
        "plan-signature",
        "a plan file is not signed as asked for",
        "`partita plan GRAPH -o FILE --sign KEY` signs it; the message says what is wrong with the signature.",
    ),
    ("approval", "people have not consented", "`partita approve GRAPH --key NAME` gives consent."),
    ("report", "a report could not be made", "The message says why."),
    ("audit", "an audit said no", "The findings are above; `--vex` records why one does not apply."),
    ("internal", "a defect of Partita", "Report it, with the message and the command."),
    (
        "not-cached",
        "results are asked for that are not known",
        "Leave out `--require-cached`, or use `deliver` in place of `bundle`.",
    ),
    (
        "not-recorded",
        "records are asked for that are not in the cassette",
        "Leave out `--replay-only` to ask them anew.",
    ),
    ("check-failed", "a check said no", "The message says which."),
    ("signal", "it was stopped by a signal", "Run again: it goes on from there."),
];

/// Every code of an error, what it means, and what to do, in order. Codes of bundles say all in one line.
pub fn error_codes() -> Vec<(&'static str, &'static str, &'static str)> {
    let bundles = bundle::Code::ALL.iter().map(|code| (code.as_str(), code.title(), ""));
    let mut all: Vec<_> = bundles.chain(exec::CODES.iter().copied()).chain(store::CODES.iter().copied()).collect();
    all.sort_unstable();
    all.extend(WORDS);
    all
}

/// The page of the book with all codes of errors.
pub fn error_page() -> String {
    let mut page =
        "# Errors\n\n<!-- Made from the registries of codes by the tests: PARTITA_BLESS=1 writes it. -->\n\n\
        What is wrong in specs has codes that begin with `P`: see [diagnostics](diagnostics.md). What goes wrong when \
        something\nis done has the codes below. `partita explain CODE` prints one; programs find it under `code`.\n"
            .to_owned();
    let parts = [
        ("Runs", "E01"),
        ("Actions", "E02"),
        ("Stores", "S"),
        ("Making bundles", "B01"),
        ("Keys", "B02"),
        ("What is read to verify", "B03"),
        ("Signatures and statements", "B04"),
        ("Policies", "B05"),
        ("Archives", "B06"),
        ("Content", "B07"),
    ];
    let codes = error_codes();
    let mut table = |title: &str, rows: &mut dyn Iterator<Item = &(&str, &str, &str)>| {
        let _ = write!(page, "\n## {title}\n\n| code | meaning | what to do |\n| --- | --- | --- |\n");
        for (code, meaning, help) in rows {
            let _ = writeln!(page, "| {code} | {meaning} | {help} |");
        }
    };
    for (title, start) in parts {
        table(title, &mut codes.iter().filter(|(code, ..)| code.starts_with(start)));
    }
    table("Requests", &mut WORDS.iter());
    page
}

/// The page of a code, the reference of a node or of a property, or a section about the language: `P0101`, `E0205`,
/// `for-each`, `bundle.include`, `param.min-length`, `interpolation`.
pub fn explain(name: &str) -> Result<String, Error> {
    if let Ok(code) = name.parse::<Code>() {
        return Ok(code.info().page.to_owned());
    }
    let codes = error_codes();
    if let Some((code, meaning, help)) = codes.iter().find(|(code, ..)| code.eq_ignore_ascii_case(name)) {
        let help = if help.is_empty() { String::new() } else { format!("\n{help}\n") };
        return Ok(format!("# {code}: {meaning}\n{help}"));
    }
    let found = reference_node(name).or_else(|| reference_topic(&name.to_lowercase()));
    if let Some(section) = found.or_else(|| reference_property(name)) {
        return Ok(section);
    }
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let is_code =
        first.is_some_and(|first| "PESB".contains(first)) && letters.next().is_some_and(|c| c.is_ascii_digit());
    // A code of another letter is another matter, however near it looks.
    let of_codes = Code::ALL.iter().map(|code| code.as_str()).chain(codes.iter().map(|(code, ..)| *code));
    let known: Vec<&str> = if is_code {
        of_codes.filter(|code| code.chars().next() == first).collect()
    } else {
        of_codes.chain(reference_words()).collect()
    };
    let wanted = if is_code { name.to_ascii_uppercase() } else { name.to_owned() };
    let help = match did_you_mean(&wanted, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match (is_code, known.first().zip(known.last())) {
            (true, Some((first, last))) => format!("codes of this letter run from {first} to {last}"),
            _ => format!(
                "codes begin with P, E, S or B; nodes and properties are those of specs; topics: {}",
                TOPICS.join(", ")
            ),
        },
    };
    let what = if is_code { "code" } else { "code, node, property or topic" };
    Err(Error::usage_help(format!("there is no {what} `{name}`"), help))
}
