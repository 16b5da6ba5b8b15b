//! Days, weeks and months in UTC: what a budget over more than one run is for. Leaves out other calendars.

use jiff::ToSpan as _;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::base::Timestamp;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

impl Period {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The one with a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Day, Self::Week, Self::Month].into_iter().find(|period| period.word() == word)
    }

    /// When the one began that a moment is in.
    pub fn begin(self, at: Timestamp) -> Timestamp {
        // Whatever 64 bits of nanoseconds can say is a date, and so is what was a month before.
        let date = jiff::Timestamp::from_nanosecond(i128::from(at.0)).map(|at| at.to_zoned(TimeZone::UTC).date());
        let begin = date.and_then(|date| {
            let first = match self {
                Self::Day => date,
                Self::Week => date.checked_sub(i64::from(date.weekday().since(Weekday::Monday)).days())?,
                Self::Month => date.first_of_month(),
            };
            first.to_zoned(TimeZone::UTC)
        });
        begin.map_or(Timestamp(i64::MIN), |begin| {
            Timestamp(i64::try_from(begin.timestamp().as_nanosecond()).unwrap_or(i64::MIN))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp(i64::try_from(at.as_nanosecond()).unwrap())
    }

    #[test]
    fn periods_begin_at_midnight_in_utc() {
        let begin = |period: Period, text: &str| period.begin(at(text)).to_string();
        for (text, day, week, month) in [
            ("2024-02-29T12:30:00Z", "2024-02-29", "2024-02-26", "2024-02-01"),
            ("2024-12-31T23:59:59.999999999Z", "2024-12-31", "2024-12-30", "2024-12-01"),
            ("2025-01-01T00:00:00Z", "2025-01-01", "2024-12-30", "2025-01-01"),
            // A Sunday and a Monday.
            ("2025-06-01T00:00:00Z", "2025-06-01", "2025-05-26", "2025-06-01"),
            ("2025-06-02T00:00:00Z", "2025-06-02", "2025-06-02", "2025-06-01"),
            ("1969-12-31T23:00:00Z", "1969-12-31", "1969-12-29", "1969-12-01"),
        ] {
            for (period, date) in [(Period::Day, day), (Period::Week, week), (Period::Month, month)] {
                assert_eq!(begin(period, text), format!("{date}T00:00:00.000Z"), "{period:?} {text}");
            }
        }
        assert_eq!(Period::Week.begin(Timestamp(i64::MIN)), Timestamp(i64::MIN), "the first of all is not whole");
        assert_eq!(
            ["day", "week", "month", "run"].map(|word| Period::of_word(word).is_some()),
            [true, true, true, false]
        );
    }
}
