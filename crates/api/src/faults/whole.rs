//! Numbers as whole ones.

use serde_json::Number;

/// A number as a whole one.
pub(super) enum Whole {
    Exact(i64),
    TooLarge,
    TooSmall,
    Not,
}

impl Whole {
    pub(super) fn of(number: &Number) -> Self {
        /// Beyond 2^53 not every whole number has a float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if let Some(number) = number.as_i64() {
            return Self::Exact(number);
        }
        match number.as_f64() {
            Some(float) if float > EXACT => Self::TooLarge,
            Some(float) if float < -EXACT => Self::TooSmall,
            Some(float) if float.fract() == 0.0 => {
                format!("{float:.0}").parse().map_or(Self::Not, Self::Exact)
            }
            Some(_) | None => Self::Not,
        }
    }
}
