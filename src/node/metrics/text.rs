//! Metrics as text: families of samples, written by prometheus-client in OpenMetrics' form, which
//! ends in `# EOF`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::archive::Spread;

/// What is measured.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Counter(u64),
    Gauge(f64),
    /// With the unit in which its values are shown: so many of the counted are one shown.
    Histogram(Spread, f64),
}

/// One value, and what tells it from the others of its family.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    labels: Vec<(&'static str, &'static str)>,
    value: Value,
}

/// Samples of one name. The `_total` of counters is not in the name.
#[derive(Clone, Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

impl Family {
    /// One of a single sample.
    pub(super) fn one(name: &'static str, help: &'static str, value: Value) -> Self {
        Family::of(name, help).and(&[], value)
    }

    /// One without samples yet.
    pub(super) fn of(name: &'static str, help: &'static str) -> Self {
        Family { name, help, samples: Vec::new() }
    }

    /// With this sample.
    pub(super) fn and(mut self, labels: &[(&'static str, &'static str)], value: Value) -> Self {
        self.samples.push(Sample { labels: labels.to_vec(), value });
        self
    }

    fn kind(&self) -> MetricType {
        match self.samples.first().map(|sample| &sample.value) {
            Some(Value::Counter(_)) => MetricType::Counter,
            Some(Value::Histogram(..)) => MetricType::Histogram,
            Some(Value::Gauge(_)) | None => MetricType::Gauge,
        }
    }
}

fn sample(to: &mut MetricEncoder<'_>, value: &Value) -> std::fmt::Result {
    match value {
        Value::Counter(n) => to.encode_counter::<NoLabelSet, u64, f64>(n, None),
        Value::Gauge(n) => to.encode_gauge(n),
        Value::Histogram(spread, unit) => {
            let bounds = spread.bounds.iter().map(|bound| *bound as f64 / unit);
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(spread.counts.iter().copied()).collect();
            let (sum, count) = (spread.sum as f64 / unit, spread.count());
            to.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
    }
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.kind())?;
            for Sample { labels, value } in &family.samples {
                // No labels, no braces.
                match labels.is_empty() {
                    true => sample(&mut metric, value)?,
                    false => sample(&mut metric.encode_family(labels)?, value)?,
                }
            }
        }
        Ok(())
    }
}

/// The text.
pub(super) fn write(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    // Writing to memory does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Distribution;

    #[test]
    fn each_kind_has_its_form() {
        let spread = Distribution::new(&[1_000, 2_000]);
        [500, 1_500, 9_000].into_iter().for_each(|value| spread.observe(value));
        let text = write(vec![
            Family::one("a", "An a.", Value::Counter(3)),
            Family::of("b", "Bs.")
                .and(&[("of", "x"), ("in", "y")], Value::Gauge(1.5))
                .and(&[("of", "z"), ("in", "y")], Value::Gauge(0.0)),
            Family::of("none", "Nothing."),
            Family::one("c", "Cs.", Value::Histogram(spread.read(), 1_000.0)),
        ]);
        let want = "# HELP a An a.\n# TYPE a counter\na_total 3\n\
            # HELP b Bs.\n# TYPE b gauge\nb{of=\"x\",in=\"y\"} 1.5\nb{of=\"z\",in=\"y\"} 0.0\n\
            # HELP c Cs.\n# TYPE c histogram\nc_sum 11.0\nc_count 3\n\
            c_bucket{le=\"1.0\"} 1\nc_bucket{le=\"2.0\"} 2\nc_bucket{le=\"+Inf\"} 3\n# EOF\n";
        assert_eq!(text, want);
    }
}
