//! Counters, gauges and histograms of one filter, with capped labels.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Names of one filter.
const NAMES: usize = 32;
/// Combinations of labels of one name.
const COMBINATIONS: usize = 100;
/// Labels of one combination.
const LABELS: usize = 8;
/// Bytes of a name, of a label's name, and of a label's value.
const TEXT: usize = 128;
/// What is counted under this name, or with these values, had no room of its own.
const OTHER: &str = "other";

/// Upper bounds of the parts of a histogram.
pub const BOUNDS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 1e3,
    1e4, 1e6,
];

/// Names and values of labels, in the order of their names.
pub type Labels = Vec<(String, String)>;

/// The numbers of one filter: at most 32 names with 100 combinations of labels each. What comes after that is counted
/// with the values `other`, or under the name `other`: how often it came.
#[derive(Debug, Default)]
pub struct Numbers(Mutex<BTreeMap<String, Number>>);

/// A number with its combinations of labels.
#[derive(Debug, Clone, PartialEq)]
struct Number {
    kind: &'static str,
    series: BTreeMap<Labels, Value>,
    /// It was said that another kind of number has this name.
    has_complained: bool,
}

/// What is counted for one combination of labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Only ever grows.
    Counter(u64),
    /// As last set.
    Gauge(f64),
    /// How many values were at most each of [`BOUNDS`], their sum, and how many there were.
    Histogram {
        /// By bound; each counts those of the bounds below it too.
        at_most: [u64; BOUNDS.len()],
        /// Sum of the values.
        sum: f64,
        /// How many there were.
        count: u64,
    },
}

/// What a filter does with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Adds to a counter.
    Count(u64),
    /// Sets a gauge.
    Gauge(f64),
    /// Adds a value to a histogram.
    Observe(f64),
}

impl Change {
    fn kind(self) -> &'static str {
        match self {
            Self::Count(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Observe(_) => "histogram",
        }
    }

    fn fresh(self) -> Value {
        match self {
            Self::Count(_) => Value::Counter(0),
            Self::Gauge(_) => Value::Gauge(0.0),
            Self::Observe(_) => Value::Histogram {
                at_most: [0; BOUNDS.len()],
                sum: 0.0,
                count: 0,
            },
        }
    }
}

impl Numbers {
    /// Changes a number. What is wrong with it, once: then it is not counted.
    pub fn change(&self, name: &str, labels: Labels, change: Change) -> Option<String> {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_name(name) {
            return count_other(&mut numbers).then(|| {
                format!("`{name}` is no name of a number; accepted: up to {TEXT} letters, digits and `_`, a letter first")
            });
        }
        if !numbers.contains_key(name) && numbers.len() >= NAMES {
            return count_other(&mut numbers)
                .then(|| format!("it has more than {NAMES} names of numbers; `{name}` and later ones are counted as `{OTHER}`"));
        }
        let number = numbers
            .entry(name.to_owned())
            .or_insert_with(|| Number::new(change.kind()));
        if number.kind != change.kind() {
            let is_first = !std::mem::replace(&mut number.has_complained, true);
            return is_first.then(|| {
                format!(
                    "`{name}` is a {}; it is not used as a {} too",
                    number.kind,
                    change.kind()
                )
            });
        }
        let labels = number.place(tidy(labels));
        number
            .series
            .entry(labels)
            .or_insert_with(|| change.fresh())
            .apply(change);
        None
    }

    /// All numbers: name, labels, value.
    pub fn snapshot(&self) -> Vec<(String, Labels, Value)> {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = numbers.iter().flat_map(|(name, number)| {
            let series = number.series.iter();
            series.map(move |(labels, value)| (name.clone(), labels.clone(), value.clone()))
        });
        each.collect()
    }
}

impl Number {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            series: BTreeMap::new(),
            has_complained: false,
        }
    }

    /// Where a combination of labels is counted.
    fn place(&self, labels: Labels) -> Labels {
        // One place is kept for those that have no room of their own.
        if self.series.contains_key(&labels) || self.series.len() < COMBINATIONS.saturating_sub(1) {
            return labels;
        }
        let names = self.series.keys().next().into_iter().flatten();
        names.map(|(name, _)| (name.clone(), OTHER.to_owned())).collect()
    }
}

impl Value {
    fn apply(&mut self, change: Change) {
        match (self, change) {
            (Self::Counter(counter), Change::Count(by)) => *counter = counter.saturating_add(by),
            (Self::Gauge(gauge), Change::Gauge(value)) => *gauge = value,
            (Self::Histogram { at_most, sum, count }, Change::Observe(value)) if !value.is_nan() => {
                for (bound, at_most) in BOUNDS.iter().zip(at_most) {
                    *at_most = at_most.saturating_add(u64::from(value <= *bound));
                }
                *sum += value;
                *count = count.saturating_add(1);
            }
            _ => {}
        }
    }
}

/// Counts something that has no number of its own; whether it is the first such.
fn count_other(numbers: &mut BTreeMap<String, Number>) -> bool {
    let number = numbers
        .entry(OTHER.to_owned())
        .or_insert_with(|| Number::new(Change::Count(0).kind()));
    let is_first = !std::mem::replace(&mut number.has_complained, true);
    if number.kind == Change::Count(0).kind() {
        let counter = number.series.entry(Labels::new()).or_insert(Value::Counter(0));
        counter.apply(Change::Count(1));
    }
    is_first
}

fn is_name(name: &str) -> bool {
    name.len() <= TEXT
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Labels in order, as many and as long as they may be; those whose names are none are left out.
fn tidy(mut labels: Labels) -> Labels {
    labels.retain(|(name, _)| is_name(name));
    labels.sort_unstable();
    labels.dedup_by(|later, first| later.0 == first.0);
    labels.truncate(LABELS);
    for (_, value) in &mut labels {
        value.truncate(value.floor_char_boundary(TEXT));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        vec![("topic".to_owned(), value.to_owned())]
    }

    #[test]
    fn numbers_of_every_kind_are_kept_by_their_labels() {
        let numbers = Numbers::default();
        numbers.change("seen", labels("a"), Change::Count(2));
        numbers.change("seen", labels("a"), Change::Count(3));
        numbers.change("seen", labels("b"), Change::Count(1));
        numbers.change("level", Labels::new(), Change::Gauge(0.5));
        numbers.change("size", Labels::new(), Change::Observe(3.0));
        let all = numbers.snapshot();
        assert_eq!(all[0], ("level".to_owned(), Labels::new(), Value::Gauge(0.5)));
        assert_eq!(all[1], ("seen".to_owned(), labels("a"), Value::Counter(5)));
        assert_eq!(all[2], ("seen".to_owned(), labels("b"), Value::Counter(1)));
        let Value::Histogram { at_most, sum, count } = &all[3].2 else {
            panic!("no histogram");
        };
        assert_eq!((at_most[10], at_most[11], *sum, *count), (0, 1, 3.0, 1));
    }

    #[test]
    fn a_name_has_one_kind_and_that_is_said_once() {
        let numbers = Numbers::default();
        numbers.change("n", Labels::new(), Change::Count(1));
        let said = numbers.change("n", Labels::new(), Change::Gauge(1.0));
        assert_eq!(
            said.as_deref(),
            Some("`n` is a counter; it is not used as a gauge too")
        );
        assert_eq!(numbers.change("n", Labels::new(), Change::Gauge(1.0)), None);
        assert_eq!(numbers.snapshot()[0].2, Value::Counter(1));
    }

    #[test]
    fn names_and_combinations_are_bounded() {
        let numbers = Numbers::default();
        for n in 0..500 {
            numbers.change("seen", labels(&n.to_string()), Change::Count(1));
        }
        let all = numbers.snapshot();
        assert_eq!(all.len(), COMBINATIONS);
        assert!(all.contains(&("seen".to_owned(), labels(OTHER), Value::Counter(401))));
        let said: Vec<String> = (0..100)
            .filter_map(|n| numbers.change(&format!("n{n}"), Labels::new(), Change::Gauge(1.0)))
            .collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("more than 32 names"));
        let said = Numbers::default().change("a-b", Labels::new(), Change::Count(1));
        assert!(said.unwrap().contains("`a-b` is no name of a number"));
    }
}
