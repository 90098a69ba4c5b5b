//! What many measurements of one thing say together.

/// Measurements in order.
pub(super) struct Spread(Vec<f64>);

impl Spread {
    /// Of at least one measurement.
    pub(super) fn of(mut measured: Vec<f64>) -> Result<Self, String> {
        measured.sort_by(f64::total_cmp);
        if measured.is_empty() { Err("nothing was measured".into()) } else { Ok(Self(measured)) }
    }

    /// The smallest measurement that so many percent do not exceed (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).clamp(1, self.0.len());
        self.0[rank - 1]
    }

    pub(super) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(super) fn largest(&self) -> f64 {
        self.percentile(100)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (case, measured, percent, expected) in [
            ("the median of a hundred", hundred.clone(), 50, 50.0),
            ("the 95th of a hundred", hundred.clone(), 95, 95.0),
            ("the largest", hundred, 100, 100.0),
            ("of one", vec![7.0], 95, 7.0),
            ("the lowest of two", vec![2.0, 1.0], 0, 1.0),
            ("the median of two", vec![2.0, 1.0], 50, 1.0),
            ("the 95th of twenty", (1..=20).map(f64::from).collect(), 95, 19.0),
            ("the 95th of twenty-one", (1..=21).map(f64::from).collect(), 95, 20.0),
        ] {
            let spread = Spread::of(measured).expect("something was measured");
            assert!((spread.percentile(percent) - expected).abs() < f64::EPSILON, "{case}");
        }
        assert!(Spread::of(Vec::new()).is_err());
    }
}
