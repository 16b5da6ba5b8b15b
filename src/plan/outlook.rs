//! What a change will cost when it is run: how many actions run because of it, for how long, for how
//! much money. The numbers come from a forecast; this is their form and their wording. Leaves out how
//! they are found out, which needs a store and a history.

use std::time::Duration;

use crate::base::{format_duration, format_micro_usd};

/// A forecast of what a change brings about in one graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Actions of the graph.
    pub total: usize,
    /// Actions that run because of the change, for certain.
    pub run: usize,
    /// Actions that run because of the change unless what they take in comes out equal.
    pub may_run: usize,
    /// Actions that run or may run, and would without the change: their results are not on record.
    pub anyway: usize,
    /// Actions that wait for an approval, or for something that does.
    pub gated: usize,
    /// Actions that cannot run here.
    pub fail: usize,
    /// Milliseconds of work of what runs because of the change, for certain.
    pub least_ms: u64,
    /// The same with what may run.
    pub most_ms: u64,
    /// Actions of either that were never timed.
    pub untimed: usize,
    /// The most that costs which runs because of the change for certain, in micro-dollars.
    pub least_usd: u64,
    /// The same with what may run.
    pub most_usd: u64,
    /// Tools that were not asked who they are, as the change adds or alters them.
    pub unasked: Vec<String>,
}

impl Outlook {
    /// Whether the change runs nothing.
    pub fn is_idle(&self) -> bool {
        self.run + self.may_run + self.gated + self.fail == 0
    }

    /// One sentence: `this change re-runs 4 of 31 actions, about 40.0 s of work, at most $0.42`.
    pub fn sentence(&self) -> String {
        let mut parts = vec![match (self.run, self.may_run) {
            (0, 0) => format!("this change re-runs none of {}", actions(self.total)),
            (0, may) => {
                format!("this change re-runs up to {may} of {}, unless what they take in is equal", actions(self.total))
            }
            (run, 0) => format!("this change re-runs {run} of {}", actions(self.total)),
            (run, may) => format!(
                "this change re-runs {run} of {}, and {may} more unless what they take in comes out equal",
                actions(self.total)
            ),
        }];
        let runs = self.run + self.may_run;
        if runs > self.untimed {
            let ms = |ms: u64| format_duration(Duration::from_millis(ms));
            let (least, most) = (ms(self.least_ms), ms(self.most_ms));
            parts.push(match (least == most, self.run) {
                (true, _) => format!("about {most} of work"),
                (false, 0) => format!("up to {most} of work"),
                (false, _) => format!("about {least} to {most} of work"),
            });
        }
        if self.untimed > 0 {
            parts.push(format!("{} never timed", self.untimed));
        }
        if self.most_usd > 0 {
            let usd = |amount: u64| format!("${}", format_micro_usd(amount));
            parts.push(if self.least_usd == self.most_usd || self.least_usd == 0 {
                format!("at most {}", usd(self.most_usd))
            } else {
                format!("at most {} to {}", usd(self.least_usd), usd(self.most_usd))
            });
        }
        let mut text = parts.join(", ");
        let more = [
            (self.gated, "waits for approval", "wait for approval"),
            (self.fail, "cannot run here", "cannot run here"),
            (self.anyway, "other runs anyway", "others run anyway"),
        ];
        for (count, one, many) in more {
            if count > 0 {
                text.push_str(&format!("; {count} {}", if count == 1 { one } else { many }));
            }
        }
        if !self.unasked.is_empty() {
            let names: Vec<&str> = self.unasked.iter().map(String::as_str).collect();
            text.push_str(&format!("; not asked, as it changed: {}", names.join(", ")));
        }
        text
    }
}

fn actions(count: usize) -> String {
    if count == 1 { "1 action".to_owned() } else { format!("{count} actions") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_sentence_with_what_there_is_to_say() {
        let plain = Outlook {
            total: 31,
            run: 4,
            least_ms: 40_000,
            most_ms: 40_000,
            least_usd: 420_000,
            most_usd: 420_000,
            ..Outlook::default()
        };
        assert_eq!(plain.sentence(), "this change re-runs 4 of 31 actions, about 40.0 s of work, at most $0.42");
        let all = Outlook {
            may_run: 2,
            most_ms: 50_000,
            untimed: 1,
            least_usd: 100_000,
            anyway: 3,
            gated: 1,
            fail: 2,
            unasked: vec!["cc".to_owned()],
            ..plain
        };
        assert_eq!(
            all.sentence(),
            "this change re-runs 4 of 31 actions, and 2 more unless what they take in comes out equal, \
             about 40.0 s to 50.0 s of work, 1 never timed, at most $0.10 to $0.42; 1 waits for approval; \
             2 cannot run here; 3 others run anyway; not asked, as it changed: cc"
        );
        assert_eq!(Outlook { total: 1, ..Outlook::default() }.sentence(), "this change re-runs none of 1 action");
    }
}
