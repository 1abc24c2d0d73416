//! Counters of what is rare: by the values of their labels, behind a lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::commands::OTHER;
use super::family::{Family, Kind};
use super::list;
use super::sheet::Sheet;

/// Series of one metric; beyond them, all labels say `other`.
const SERIES: usize = 1_000;
/// Bytes of the longest label told.
const LABEL: usize = 255;

/// Numbers by metric and labels. For what happens a few times a second at most, not for every command.
#[derive(Debug, Default)]
pub struct Tally {
    series: Mutex<BTreeMap<&'static str, BTreeMap<Vec<String>, f64>>>,
}

impl Tally {
    /// Counts one more.
    pub fn count(&self, family: &'static Family, labels: &[&str]) {
        self.add(family, labels, 1.0);
    }

    /// Adds to a number.
    pub fn add(&self, family: &'static Family, labels: &[&str], by: f64) {
        self.with(family, labels, |value| *value += by);
    }

    /// Sets a number.
    pub fn set(&self, family: &'static Family, labels: &[&str], to: f64) {
        self.with(family, labels, |value| *value = to);
    }

    /// The number now; 0 when it was never counted.
    pub fn read(&self, family: &'static Family, labels: &[&str]) -> f64 {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let labels: Vec<String> = labels
            .iter()
            .map(|label| (if label.len() > LABEL { OTHER } else { label }).to_owned())
            .collect();
        let found = series.get(family.name).and_then(|series| series.get(&labels));
        found.copied().unwrap_or_default()
    }

    fn with(&self, family: &'static Family, labels: &[&str], change: impl FnOnce(&mut f64)) {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(family.name).or_default();
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if !series.contains_key(&key) && series.len() >= SERIES {
            key.fill(OTHER.to_owned());
        }
        change(series.entry(key).or_default());
    }

    pub(super) fn collect(&self, sheet: &mut Sheet) {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for family in list::ALL.iter().filter(|family| family.kind != Kind::Histogram) {
            for (labels, value) in all.get(family.name).into_iter().flatten() {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                sheet.put(family, &labels, *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_a_bounded_number_of_series() {
        let tally = Tally::default();
        for n in 0..=SERIES {
            tally.count(list::LINKS_LOST, &[&n.to_string()]);
        }
        assert!((tally.read(list::LINKS_LOST, &[OTHER]) - 1.0).abs() < f64::EPSILON);
        assert!((tally.read(list::LINKS_LOST, &["7"]) - 1.0).abs() < f64::EPSILON);
        let kept = tally.series.lock().unwrap()[list::LINKS_LOST.name].len();
        assert_eq!(kept, SERIES + 1);
    }
}
