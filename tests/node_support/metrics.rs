//! Reads metrics as a scraper does, and refuses what OpenMetrics does not allow.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashSet};

/// What a node told: each sample by its name with its labels, as written.
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    /// The types of the families.
    pub types: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads all of it, strictly.
    pub fn read(text: &str) -> Metrics {
        let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
        let mut types = BTreeMap::new();
        let mut helped = HashSet::new();
        let mut samples = BTreeMap::new();
        let mut family = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(helped.insert(name.to_owned()), "{name} comes twice");
                assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family, "a type stands under its help");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                let suffix = name.strip_prefix(family.as_str()).expect(line);
                let allowed: &[&str] = match types[&family].as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_sum", "_count", "_bucket"],
                    kind => panic!("{family} is a {kind}"),
                };
                assert!(allowed.contains(&suffix), "{line}");
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                assert!(name.chars().all(plain), "{line}");
                let before = samples.insert(key.to_owned(), value.parse().expect(line));
                assert_eq!(before, None, "{key} comes twice");
            }
        }
        let metrics = Metrics { samples, types };
        metrics.check_histograms();
        metrics
    }

    fn check_histograms(&self) {
        for family in self.types.iter().filter(|(_, kind)| *kind == "histogram").map(|(f, _)| f) {
            let prefix = format!("{family}_bucket{{le=\"");
            let mut buckets: Vec<(f64, f64)> = (self.samples.iter())
                .filter_map(|(key, n)| {
                    let bound = key.strip_prefix(&prefix)?.strip_suffix("\"}").unwrap();
                    Some((bound.replace("+Inf", "inf").parse().unwrap(), *n))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family}: {buckets:?}");
            let (last, all) = *buckets.last().unwrap();
            assert!(last.is_infinite());
            assert_eq!(all, self.get(&format!("{family}_count")), "{family}");
        }
    }

    /// A sample that is there.
    pub fn get(&self, key: &str) -> f64 {
        *self.samples.get(key).unwrap_or_else(|| panic!("no {key} in {:#?}", self.samples))
    }

    /// A sample that may be missing.
    pub fn find(&self, key: &str) -> Option<f64> {
        self.samples.get(key).copied()
    }

    /// All samples of a name, whatever their labels, together.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |key: &str| key.split('{').next() == Some(name);
        self.samples.iter().filter(|(key, _)| of(key)).map(|(_, n)| n).sum()
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }
}
