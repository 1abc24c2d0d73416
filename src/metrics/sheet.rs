//! All values at one moment, under the metrics they belong to.

use std::collections::BTreeMap;

use super::family::Family;
use super::list;

/// One value with the values of its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Values of the family's labels, in their order.
    pub labels: Vec<String>,
    /// Labels on top, by name.
    pub more: Vec<(String, String)>,
    /// The value.
    pub value: Value,
}

/// A number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Spread {
        /// Upper bounds of its parts.
        bounds: &'static [f64],
        /// How many values were in each part and not in one before; one more than there are bounds.
        counts: Vec<u64>,
        /// Sum of the values.
        sum: f64,
    },
}

/// All values at one moment.
#[derive(Debug, Default)]
pub struct Sheet {
    families: BTreeMap<&'static str, Vec<Sample>>,
}

impl Sheet {
    /// Adds a number.
    pub fn put(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.add(family, labels, Vec::new(), Value::Number(value));
    }

    /// Adds a count.
    pub fn count(&mut self, family: &'static Family, labels: &[&str], value: u64) {
        self.put(family, labels, to_f64(value));
    }

    /// Adds a value with labels that the family does not list.
    pub fn add(
        &mut self,
        family: &'static Family,
        labels: &[&str],
        more: Vec<(String, String)>,
        value: Value,
    ) {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.families
            .entry(family.name)
            .or_default()
            .push(Sample { labels, more, value });
    }

    /// What there is, in the order of the list; metrics without a value are left out.
    pub fn families(&self) -> impl Iterator<Item = (&'static Family, &[Sample])> {
        list::ALL.iter().filter_map(|family| {
            let samples = self.families.get(family.name)?;
            Some((*family, samples.as_slice()))
        })
    }
}

/// A count as metrics carry it: exact up to nine quadrillions.
#[expect(
    clippy::cast_precision_loss,
    reason = "above 2^53 the last digits of a count mean nothing"
)]
pub fn to_f64(value: u64) -> f64 {
    value as f64
}
