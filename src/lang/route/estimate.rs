//! Estimates from complexity, 1 to 10: tokens, dollars and hours, each with a fifth added once.
//! Integers only; hours are rounded up, so that a sum of items is a sum of whole hours. Leaves out
//! bounds of cost, which come from prices and limits.

use serde::{Deserialize, Serialize};

/// Tokens for each point of complexity, before the buffer.
const TOKENS: u64 = 15_000;
/// Micro-dollars for each point, before the buffer.
const MICRO_USD: u64 = 30_000;
/// Hours for each point, before the buffer.
const HOURS: u64 = 3;
/// The buffer: 12/10.
const BUFFER: (u64, u64) = (12, 10);

/// How much work something may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// 1 to 10.
    pub complexity: u8,
    /// Tokens.
    pub tokens: u64,
    /// Micro-dollars.
    pub micro_usd: u64,
    /// Hours, rounded up.
    pub hours: u64,
}

impl Estimate {
    /// The estimate of work of a complexity.
    pub fn of(complexity: u8) -> Self {
        let buffered = |each: u64| u64::from(complexity) * each * BUFFER.0;
        Self {
            complexity,
            tokens: buffered(TOKENS) / BUFFER.1,
            micro_usd: buffered(MICRO_USD) / BUFFER.1,
            hours: buffered(HOURS).div_ceil(BUFFER.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_added_once_and_hours_are_rounded_up() {
        let one = Estimate::of(1);
        assert_eq!((one.tokens, one.micro_usd, one.hours), (18_000, 36_000, 4));
        let ten = Estimate::of(10);
        assert_eq!((ten.tokens, ten.micro_usd, ten.hours), (180_000, 360_000, 36));
        // Forty-two points cost $1.512; a known example prints $1.51.
        let total: u64 = [10, 10, 10, 10, 2].into_iter().map(|points| Estimate::of(points).micro_usd).sum();
        assert_eq!(total, 1_512_000);
    }
}
