//! Tells from a difference what most likely made it: from the bytes at the place, from what was varied, and from
//! whether it went away when nothing was. Leaves out finding the place.

use std::sync::LazyLock;

use regex::Regex;

use crate::base::Timestamp;
use crate::event::{Cause, Place};
use crate::exec::check::content::Found;

/// What is known of the attempts that are compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whether the difference went away when nothing but the clock was other than at first.
    pub(super) ambient: bool,
    /// When the result was made, in milliseconds since the epoch.
    pub(super) made_ms: i64,
    /// When the check began.
    pub(super) seen_ms: i64,
    /// How far ahead its clock was.
    pub(super) ahead_ms: i64,
    /// The folder the check ran in.
    pub(super) root: String,
    /// The short name of its time zone.
    pub(super) zone: String,
    /// Its locale.
    pub(super) locale: String,
    /// How many processors there were, at first and in the check.
    pub(super) cpus: [u64; 2],
    /// Its umask.
    pub(super) umask: u32,
    /// Numbers of processes that were given out meanwhile.
    pub(super) pids: Option<[u64; 2]>,
    /// The name of the user.
    pub(super) user: Option<String>,
}

/// Milliseconds by which a time may be off and still be meant: rounded to days, in whatever zone.
const NEAR_MS: i64 = 2 * 86_400_000;
/// Numbers of processes between which one is recognised.
const PIDS: u64 = 20_000;

static DATE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d|\b\d{1,2}:\d\d\b|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\b",
    )
});
static YEAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(19|20)\d\d\b"));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b0x[0-9a-fA-F]{6,}\b|\b(55|56|7e|7f)[0-9a-f]{10}\b"));
static MODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[-dl]([r-][w-][xsStT-]){3}"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("invariant: a pattern written here is one")
}

/// What most likely made a difference.
pub(super) fn cause(found: &Found, facts: &Facts) -> Cause {
    match &found.place {
        Place::Order => return Cause::Ordering,
        Place::Exit if facts.ambient => return Cause::Surroundings,
        Place::Exit => return Cause::Unknown,
        Place::Field { name } => {
            let of_field = match name.as_str() {
                "mtime" | "atime" | "ctime" if facts.ambient => Some(Cause::TimeZone),
                "mtime" | "atime" | "ctime" => Some(Cause::TimeStamp),
                // The times of a ZIP archive with their zone, and who owned the file.
                "extra field" => Some(Cause::TimeStamp),
                "mode" => Some(Cause::Permissions),
                "uid" | "gid" | "uname" | "gname" => Some(Cause::User),
                _ => None,
            };
            if let Some(cause) = of_field {
                return cause;
            }
        }
        Place::Bytes { .. } | Place::Json { .. } | Place::Presence => {}
    }
    let texts = [&found.raw[0], &found.raw[1]].map(|raw| std::str::from_utf8(raw).ok());
    let told = match texts {
        [Some(before), Some(after)] => of_text(before, after, found, facts),
        _ => of_bytes(&found.raw, facts),
    };
    told.unwrap_or_else(|| {
        if holds(&found.whole, facts.root.as_bytes()) {
            Cause::Path
        } else if facts.ambient {
            Cause::Surroundings
        } else if found.place == Place::Presence {
            Cause::Unknown
        } else {
            Cause::Randomness
        }
    })
}

fn of_text(before: &str, after: &str, found: &Found, facts: &Facts) -> Option<Cause> {
    if !facts.root.is_empty() && after.contains(&facts.root) {
        return Some(Cause::Path);
    }
    let (a, b) = changed(before, after);
    // Of what is there only once, there is one text to go by.
    let (a, b) = match &found.place {
        Place::Presence if a.contains("absent") => (b, b),
        Place::Presence if b.contains("absent") => (a, a),
        _ => (a, b),
    };
    if facts.ambient {
        if after.contains(&facts.zone) {
            return Some(Cause::TimeZone);
        }
        if speaks_of_locale(before, after, facts) {
            return Some(Cause::Locale);
        }
        if speaks_of_umask(before, after, a, b, facts) {
            return Some(Cause::Permissions);
        }
    }
    if let (Ok(x), Ok(y)) = (a.parse::<u64>(), b.parse::<u64>()) {
        let [n, k] = facts.cpus;
        if facts.ambient && n != k && x > 0 && x.checked_mul(k) == y.checked_mul(n) {
            return Some(Cause::CoreCount);
        }
    }
    let now = [facts.seen_ms, facts.seen_ms + facts.ahead_ms];
    let times = if found.place == Place::Presence {
        is_time(a, &[facts.made_ms, now[0], now[1]], facts)
    } else {
        is_time(a, &[facts.made_ms], facts) && is_time(b, &now, facts)
    };
    if times {
        return Some(Cause::TimeStamp);
    }
    if DATE.is_match(before) && DATE.is_match(after) && (DATE.is_match(a) || DATE.is_match(b) || is_clock(a, b)) {
        // A year that is neither then nor now is that of a time which was given.
        let years = [facts.made_ms, now[0], now[1]].map(year);
        let given = |text: &str| {
            let mut found = YEAR.find_iter(text).map(|year| year.as_str()).peekable();
            found.peek().is_some() && !found.any(|year| years.iter().any(|known| known == year))
        };
        let of_zone = facts.ambient || given(before) && given(after);
        return Some(if of_zone { Cause::TimeZone } else { Cause::TimeStamp });
    }
    if let (Ok(x), Ok(y), Some([from, to])) = (a.parse::<u64>(), b.parse::<u64>(), facts.pids)
        && x > 1
        && to - from < PIDS
        && (from..=to).contains(&y)
    {
        return Some(Cause::ProcessId);
    }
    if ADDRESS.is_match(a) && ADDRESS.is_match(b) {
        return Some(Cause::Address);
    }
    if let Some(user) = &facts.user
        && (a == user || b == user)
    {
        return Some(Cause::User);
    }
    let words = |text: &str| {
        let mut words: Vec<String> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort();
        words
    };
    let (x, y) = (words(before), words(after));
    (x.len() > 1 && x == y && before != after).then_some(Cause::Ordering)
}

/// The parts of two texts that differ, each grown to a word.
fn changed<'a>(before: &'a str, after: &'a str) -> (&'a str, &'a str) {
    let common = before.chars().zip(after.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    let ends = before[common..].chars().rev().zip(after[common..].chars().rev());
    let tail: usize = ends.take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    (grown(before, common, before.len() - tail), grown(after, common, after.len() - tail))
}

fn grown(text: &str, from: usize, to: usize) -> &str {
    let breaks = |c: char| c.is_whitespace() || "\"'`,;()[]{}<>=|".contains(c);
    let from = text[..from].rfind(breaks).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let to = text[to..].find(breaks).map_or(text.len(), |at| to + at);
    if from <= to { text[from..to].trim_matches(|c: char| c == ':' || c == '.') } else { "" }
}

/// Whether a word is a count of seconds, or of a thousandth of them and so on, near a time.
fn is_time(word: &str, near_ms: &[i64], facts: &Facts) -> bool {
    let digits: String = word.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    if facts.ahead_ms > 0 && digits.len() == 4 && near_ms.iter().any(|ms| digits == year(*ms)) {
        return true;
    }
    digits.parse::<i64>().is_ok_and(|value| near_ms.iter().any(|ms| is_near(value, *ms)))
}

fn year(ms: i64) -> String {
    Timestamp(ms.saturating_mul(1_000_000)).to_string().chars().take(4).collect()
}

fn is_near(value: i64, near_ms: i64) -> bool {
    let units = [value.checked_mul(1_000), Some(value), Some(value / 1_000), Some(value / 1_000_000)];
    near_ms > 0 && units.iter().flatten().any(|ms| (ms - near_ms).abs() < NEAR_MS)
}

/// Whether two words are digits of a time of day.
fn is_clock(a: &str, b: &str) -> bool {
    let digits = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || ":.-TZ+".contains(c));
    digits(a) && digits(b)
}

fn speaks_of_locale(before: &str, after: &str, facts: &Facts) -> bool {
    let lower = [before, after].map(str::to_lowercase);
    let named = |text: &String| ["utf-8", "utf8", "ansi_x3.4"].iter().any(|word| text.contains(word));
    let whole = |word: &str| !facts.locale.is_empty() && after.split(['"', '\'', ' ', '=', ':']).any(|w| w == word);
    whole(&facts.locale)
        || lower.iter().any(named)
        || before.is_ascii() != after.is_ascii()
        || before.replace('.', ",") == after
}

fn speaks_of_umask(before: &str, after: &str, a: &str, b: &str, facts: &Facts) -> bool {
    if MODE.is_match(before) && MODE.is_match(after) {
        return true;
    }
    let octal =
        |word: &str| u32::from_str_radix(word.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o177_777);
    match (octal(a), octal(b)) {
        (Some(x), Some(y)) => a.len() >= 2 && (y == facts.umask || (x ^ y) & !(0o022 | facts.umask) == 0),
        _ => false,
    }
}

fn of_bytes(raw: &[Vec<u8>; 2], facts: &Facts) -> Option<Cause> {
    if holds(&raw[1], facts.root.as_bytes()) {
        return Some(Cause::Path);
    }
    for at in 0..raw[0].len().min(raw[1].len()) {
        let times = [(&raw[0], 0), (&raw[1], 1)].map(|(bytes, which)| {
            let ahead = facts.seen_ms + facts.ahead_ms;
            let near = if which == 0 { [facts.made_ms; 2] } else { [facts.seen_ms, ahead] };
            let four = bytes.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            let eight = bytes.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            let mut values = Vec::new();
            values.extend(four.map(|four| i64::from(u32::from_le_bytes(four))));
            values.extend(four.map(|four| i64::from(u32::from_be_bytes(four))));
            values.extend(eight.map(i64::from_le_bytes));
            values.extend(eight.map(i64::from_be_bytes));
            values.into_iter().any(|value| near.iter().any(|near| is_near(value, *near)))
        });
        // Of four bytes by chance, one in 12,000 is near; here both have to be.
        if times == [true, true] {
            return Some(Cause::TimeStamp);
        }
    }
    None
}

/// Whether bytes hold others, which are not none.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}
