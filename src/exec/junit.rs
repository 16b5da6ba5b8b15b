//! What a JUnit report says, in numbers. Counts what is listed, and takes what the report claims of
//! itself where that is worse. Leaves out names and texts of tests.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The numbers of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Junit {
    pub(super) tests: u64,
    /// Those that ended in neither way as they should: failures and errors.
    pub(super) failed: u64,
    pub(super) failures: u64,
    pub(super) errors: u64,
    pub(super) skipped: u64,
    pub(super) suites: u64,
    pub(super) duration_ms: u64,
}

impl Junit {
    pub(super) fn passed(&self) -> u64 {
        self.tests.saturating_sub(self.failed).saturating_sub(self.skipped)
    }
}

/// How the test that is being read ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Failure,
    Error,
    Skipped,
}

/// Reads a report. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Junit, String> {
    let mut reader = Reader::from_str(text);
    let mut listed = Junit::default();
    let mut claimed = Junit::default();
    let mut depth = 0_usize;
    // Suites may lie in suites: what the outermost ones claim counts once.
    let mut suites = 0_usize;
    let mut case: Option<(usize, End)> = None;
    let mut seen = false;
    loop {
        let event = reader.read_event().map_err(|error| format!("it is not XML: {error}"))?;
        let (start, is_empty) = match &event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if end.name().as_ref() == "testsuite" {
                    suites = suites.saturating_sub(1);
                }
                if let Some((at, ended)) = case
                    && at == depth
                {
                    count(&mut listed, ended);
                    case = None;
                }
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let name = start.name();
        match name.as_ref() {
            "testsuites" if depth == 0 => {
                seen = true;
                claimed.duration_ms = claimed.duration_ms.max(time(start));
            }
            "testsuite" => {
                seen = true;
                listed.suites += 1;
                if suites == 0 {
                    claim(start, &mut claimed, &mut listed);
                }
                suites += usize::from(!is_empty);
            }
            "testcase" => {
                if is_empty {
                    count(&mut listed, End::Well);
                } else {
                    case = Some((depth, End::Well));
                }
            }
            "failure" | "error" | "skipped" => {
                if let Some((at, ended)) = &mut case
                    && *at + 1 == depth
                    && *ended != End::Error
                {
                    *ended = match name.as_ref() {
                        "failure" => End::Failure,
                        "error" => End::Error,
                        _ if *ended == End::Failure => End::Failure,
                        _ => End::Skipped,
                    };
                }
            }
            other if depth == 0 => {
                return Err(format!("it begins with `{other}`, not with `testsuites` or `testsuite`"));
            }
            _ => {}
        }
        depth += usize::from(!is_empty);
    }
    if !seen {
        return Err("it holds no `testsuite`".to_owned());
    }
    if depth > 0 {
        return Err("it ends before its elements do".to_owned());
    }
    let failures = listed.failures.max(claimed.failures);
    let errors = listed.errors.max(claimed.errors);
    Ok(Junit {
        tests: listed.tests.max(claimed.tests),
        failed: failures.saturating_add(errors),
        failures,
        errors,
        skipped: listed.skipped.max(claimed.skipped),
        suites: listed.suites,
        duration_ms: claimed.duration_ms.max(listed.duration_ms),
    })
}

fn count(listed: &mut Junit, ended: End) {
    listed.tests += 1;
    match ended {
        End::Well => {}
        End::Failure => listed.failures += 1,
        End::Error => listed.errors += 1,
        End::Skipped => listed.skipped += 1,
    }
}

/// What a suite says of itself.
fn claim(start: &BytesStart<'_>, claimed: &mut Junit, listed: &mut Junit) {
    let number = |name: &str| attribute(start, name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    claimed.tests = claimed.tests.saturating_add(number("tests"));
    claimed.failures = claimed.failures.saturating_add(number("failures"));
    claimed.errors = claimed.errors.saturating_add(number("errors"));
    claimed.skipped = claimed.skipped.saturating_add(number("skipped").max(number("disabled")));
    listed.duration_ms = listed.duration_ms.saturating_add(time(start));
}

fn time(start: &BytesStart<'_>) -> u64 {
    attribute(start, "time").and_then(|text| milliseconds(&text)).unwrap_or(0)
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.try_get_attribute(name).ok()??;
    Some(found.value.trim().to_owned())
}

/// Seconds with a point, or with commas between thousands, as milliseconds; what is less is cut off.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.replace(',', "");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_listed() {
        let report = r#"<?xml version="1.0"?>
            <testsuites><testsuite name="a" time="1.25">
              <testcase name="1"/><testcase name="2"><failure>x</failure></testcase>
              <testcase name="3"><error/><system-out>failure</system-out></testcase>
              <testcase name="4"><skipped/></testcase>
              <testsuite name="inner" tests="1"><testcase name="5"><failure/><skipped/></testcase></testsuite>
            </testsuite></testsuites>"#;
        let found = parse(report).unwrap();
        assert_eq!((found.tests, found.failed, found.failures, found.errors, found.skipped), (5, 3, 2, 1, 1));
        assert_eq!((found.passed(), found.suites, found.duration_ms), (1, 2, 1_250));
    }

    #[test]
    fn what_a_report_claims_counts_where_it_is_worse() {
        let found = parse(r#"<testsuite tests="9" failures="2" errors="0"><testcase name="x"/></testsuite>"#).unwrap();
        assert_eq!((found.tests, found.failed, found.passed()), (9, 2, 7));
        let nothing = parse(r#"<testsuites tests="0"/>"#).unwrap();
        assert_eq!((nothing.tests, nothing.passed()), (0, 0));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in ["", "{}", "<html/>", "<testsuite>", "<testsuite></testcase>", "<a><testsuite/></a>", "<testsuite"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        // Entities are not expanded, so that none can grow.
        let bomb =
            r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>"#;
        assert_eq!(parse(bomb).unwrap().tests, 1);
    }

    #[test]
    fn times_are_cut_to_milliseconds() {
        for (text, ms) in [("1", 1_000), ("0.0009", 0), ("1,234.5", 1_234_500), (".5", 500)] {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        assert_eq!(milliseconds("soon"), None);
    }
}
