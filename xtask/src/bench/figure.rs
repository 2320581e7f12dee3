//! A figure: what was read on both sides, and what it is held against.

use serde_json::{Value, json};

/// What a ratio must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Throughput: ours divided by the peer's is at least this.
    AtLeast(f64),
    /// Latency and memory: ours divided by the limit is at most this.
    AtMost(f64),
}

/// One benchmark's outcome.
#[derive(Clone, Debug)]
pub struct Figure {
    /// As `cargo xtask bench NAME` knows it.
    pub name: String,
    /// Of both sides.
    pub unit: String,
    /// What the ratio must keep to.
    pub bound: Bound,
    /// A reading for each round.
    pub ours: Vec<f64>,
    /// The peer's, or the limit.
    pub peer: Vec<f64>,
    /// How it was measured: lengths, threads, storage; further readings that have no bound.
    pub about: Value,
}

/// The middle reading; of an even number the mean of the two in the middle.
pub fn median(readings: &[f64]) -> f64 {
    let mut sorted = readings.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.get(middle)) {
        (_, None) => f64::NAN,
        (length, Some(upper)) if length % 2 == 1 => *upper,
        (_, Some(upper)) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// The reading that a share of all readings does not exceed: the nearest-rank percentile.
pub fn percentile(readings: &[f64], share: f64) -> f64 {
    let mut sorted = readings.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

impl Figure {
    /// Ours: the median.
    pub fn ours(&self) -> f64 {
        median(&self.ours)
    }

    /// The peer's: the median.
    pub fn peer(&self) -> f64 {
        median(&self.peer)
    }

    /// Ours divided by the peer's.
    pub fn ratio(&self) -> f64 {
        self.ours() / self.peer()
    }

    /// Whether the ratio keeps to its bound. A figure without readings does not.
    pub fn holds(&self) -> bool {
        let ratio = self.ratio();
        ratio.is_finite()
            && match self.bound {
                Bound::AtLeast(least) => ratio >= least,
                Bound::AtMost(most) => ratio <= most,
            }
    }

    /// What `--json` prints.
    pub fn told(&self) -> Value {
        let mut told = json!({
            "name": self.name,
            "ours": rounded(self.ours()),
            "peer": rounded(self.peer()),
            "unit": self.unit,
            "ratio": rounded(self.ratio()),
        });
        match self.bound {
            Bound::AtLeast(least) => told["at_least"] = json!(least),
            Bound::AtMost(most) => told["at_most"] = json!(most),
        }
        told
    }

    /// From the line that a program of a crate prints: see `crates/vault-core/examples/bench_core.rs`.
    pub fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("not a figure: {line}");
        let value: Value = serde_json::from_str(line).map_err(|_| wrong())?;
        let readings =
            |member: &str| -> Option<Vec<f64>> { value[member].as_array()?.iter().map(Value::as_f64).collect() };
        let text = |member: &str| value[member].as_str().map(str::to_owned);
        let bound = match (value["at_least"].as_f64(), value["at_most"].as_f64()) {
            (Some(least), None) => Bound::AtLeast(least),
            (None, Some(most)) => Bound::AtMost(most),
            _ => return Err(wrong()),
        };
        let (Some(name), Some(unit)) = (text("name"), text("unit")) else { return Err(wrong()) };
        let (Some(ours), Some(peer)) = (readings("ours"), readings("peer")) else { return Err(wrong()) };
        Ok(Self { name, unit, bound, ours, peer, about: value["about"].clone() })
    }
}

/// Four significant digits: no reading on a shared machine has more.
pub fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let scale = 10_f64.powi(3 - number.abs().log10().floor() as i32);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ours: &[f64], peer: &[f64], bound: Bound) -> Figure {
        Figure {
            name: "x".to_owned(),
            unit: "GB/s".to_owned(),
            bound,
            ours: ours.to_vec(),
            peer: peer.to_vec(),
            about: Value::Null,
        }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_percentile_is_a_reading_that_was_made() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.95), 95.0);
        assert_eq!(percentile(&[7.0, 3.0], 0.95), 7.0);
        assert_eq!(percentile(&[7.0, 3.0, 5.0], 0.0), 3.0);
        assert!(percentile(&[], 0.95).is_nan());
    }

    #[test]
    fn figures_are_held_against_their_bounds() {
        let good = figure(&[7.0, 8.0, 900.0], &[10.0, 1.0, 11.0], Bound::AtLeast(0.75));
        assert!(good.ratio() == 0.8 && good.holds());
        assert!(!figure(&[6.0], &[10.0], Bound::AtLeast(0.75)).holds());
        assert!(figure(&[6.0], &[10.0], Bound::AtMost(1.0)).holds());
        assert!(!figure(&[11.0], &[10.0], Bound::AtMost(1.0)).holds());
        assert!(!figure(&[], &[], Bound::AtMost(1.0)).holds(), "without readings nothing holds");
        assert!(!figure(&[1.0], &[0.0], Bound::AtLeast(0.5)).holds(), "a peer that did nothing proves nothing");
    }

    #[test]
    fn what_a_program_prints_reads_back() {
        let line = r#"{"name":"a","unit":"s","at_most":1.0,"ours":[2,1,3],"peer":[4],"about":{"threads":2}}"#;
        let figure = Figure::parse(line).expect("a figure");
        assert_eq!((figure.ours(), figure.peer(), figure.about["threads"].as_u64()), (2.0, 4.0, Some(2)));
        assert_eq!(
            figure.told(),
            json!({"name": "a", "ours": 2.0, "peer": 4.0, "unit": "s", "ratio": 0.5, "at_most": 1.0})
        );
        for wrong in ["", "{}", r#"{"name":"a","unit":"s","ours":[1],"peer":[1]}"#] {
            assert!(Figure::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rounding_keeps_four_digits() {
        assert_eq!((rounded(1234.56), rounded(0.123_456), rounded(0.0)), (1235.0, 0.1235, 0.0));
    }
}
