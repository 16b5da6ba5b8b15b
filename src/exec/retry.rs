//! How long to wait before another attempt. Leaves out which failures deserve one.

use std::time::Duration;

use crate::base::{ActionKey, Digest};
use crate::plan::{Backoff, Retry};

/// The longest wait.
const LONGEST_MS: u64 = 3_600_000;

/// The wait after an attempt (from 1) failed: that of the policy, and up to a quarter more, so that
/// actions that failed together do not come back together. The share is a function of key and
/// attempt: the same run waits the same.
pub(super) fn delay(retry: &Retry, key: ActionKey, attempt: u32) -> Duration {
    let base = match retry.backoff {
        Backoff::Fixed(ms) => ms,
        Backoff::Exponential(ms) => {
            let doublings = attempt.saturating_sub(1).min(62);
            ms.saturating_mul(1 << doublings)
        }
    };
    let base = base.min(LONGEST_MS);
    let mut seed = key.0.as_bytes().to_vec();
    seed.extend_from_slice(&attempt.to_le_bytes());
    let seed = Digest::of_blob(&seed);
    let share = u64::from(u16::from_le_bytes([seed.as_bytes()[0], seed.as_bytes()[1]]));
    Duration::from_millis(base + base / 4 * share / u64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RetryOn;

    fn wait(backoff: Backoff, attempt: u32) -> u64 {
        let retry = Retry { max: 9, on: RetryOn::Any, backoff };
        delay(&retry, ActionKey(Digest::of_blob(b"k")), attempt).as_millis() as u64
    }

    #[test]
    fn doubles_with_a_bounded_share_on_top_and_is_repeatable() {
        for (attempt, base) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
            let got = wait(Backoff::Exponential(100), attempt);
            assert!((base..=base + base / 4).contains(&got), "attempt {attempt}: {got}");
            assert_eq!(got, wait(Backoff::Exponential(100), attempt));
            assert!((100..=125).contains(&wait(Backoff::Fixed(100), attempt)));
        }
        assert!(wait(Backoff::Exponential(100), 200) <= LONGEST_MS + LONGEST_MS / 4);
        assert_eq!(wait(Backoff::Fixed(0), 1), 0);
    }
}
