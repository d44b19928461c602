//! An axis from zero to a round number.

/// Steps that people read easily, as parts of a power of ten.
const ROUND: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// Steps on an axis at most.
const MOST_STEPS: f64 = 8.0;

/// An axis: which value stands where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    step: f64,
    steps: u8,
    begin: f64,
    end: f64,
}

impl Axis {
    /// An axis that has room for some values, between two places.
    pub(super) fn over(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Self {
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let magnitude = 10_f64.powf((most / MOST_STEPS).log10().floor());
        let rounded = ROUND.map(|part| part * magnitude);
        let fits = |step: &f64| most / step <= MOST_STEPS;
        let step = rounded.into_iter().find(fits).unwrap_or(most);
        // Counted instead of converted: there are at most eight.
        let steps = (1..=u8::MAX).find(|steps| f64::from(*steps) * step >= most);
        Self {
            step,
            steps: steps.unwrap_or(1),
            begin,
            end,
        }
    }

    /// Where a value stands.
    pub(super) fn place(&self, value: f64) -> f64 {
        let most = f64::from(self.steps) * self.step;
        self.begin + (self.end - self.begin) * value / most
    }

    /// The values to mark, with their labels.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let digits = if self.step < 1.0 { 1 } else { 0 };
        let step = self.step;
        (0..=self.steps).map(move |number| {
            let value = f64::from(number) * step;
            (value, format!("{value:.digits$}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    #[test]
    fn axis_ends_at_a_round_number_above_all_values() {
        let axis = Axis::over([3.0, 1_650.0].into_iter(), 0.0, 100.0);
        let labels: Vec<String> = axis.ticks().map(|(_, label)| label).collect();
        assert_eq!(labels.first().map(String::as_str), Some("0"));
        assert_eq!(labels.last().map(String::as_str), Some("2000"));
        assert!((axis.place(2_000.0) - 100.0).abs() < 1e-9);
    }
}
