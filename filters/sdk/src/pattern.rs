//! Patterns as operators write them: `*` is any text, `?` one character, everything else is itself.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// One pattern for a whole name. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// A pattern; every text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Whether the pattern fits the whole of `name`. Takes at most the product of both lengths in steps.
    pub fn fits(&self, name: &str) -> bool {
        let mut pattern = self.text.chars();
        let mut name = name.chars();
        // Where to go on when the text after the last `*` did not fit: that `*` then covers one character more.
        let mut retry = None;
        loop {
            let before = name.clone();
            match pattern.next() {
                Some('*') => {
                    retry = Some((pattern.clone(), before));
                    continue;
                }
                Some(wanted) => {
                    if name.next().is_some_and(|found| wanted == '?' || wanted == found) {
                        continue;
                    }
                }
                None => {
                    if name.next().is_none() {
                        return true;
                    }
                }
            }
            let Some((after_star, mut covered)) = retry.take() else {
                return false;
            };
            if covered.next().is_none() {
                return false;
            }
            pattern = after_star.clone();
            name = covered.clone();
            retry = Some((after_star, covered));
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        if text.is_empty() {
            return Err(serde::de::Error::custom(
                "an empty pattern fits nothing; `*` fits everything",
            ));
        }
        Ok(Self { text })
    }
}

/// Several patterns, as in `topics = ["orders-*", "bills"]`. None at all means that the operator said nothing, so
/// everything fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Whether the operator said nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    /// Whether nothing was said, or one fits. A name that is absent fits only where nothing was said.
    pub fn fit(&self, name: Option<&str>) -> bool {
        self.0.is_empty() || name.is_some_and(|name| self.any_fits(name))
    }

    /// Whether one fits; no pattern, no fit.
    pub fn any_fits(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.fits(name))
    }
}

impl<P: Into<String>> FromIterator<P> for Patterns {
    fn from_iter<I: IntoIterator<Item = P>>(patterns: I) -> Self {
        Self(patterns.into_iter().map(Pattern::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Patterns};

    #[test]
    fn a_pattern_fits_the_whole_name() {
        for (pattern, name, fits) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders-*", "orders-eu", true),
            ("orders-*", "orders-", true),
            ("orders-*", "orders", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "ä", true),
            ("*-eu-*", "a-us-eu-b", true),
            ("*ab", "aab", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("**", "x", true),
            ("%RETRY%*", "%RETRY%g", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!Pattern::new("*a".repeat(60)).fits(&"a".repeat(59)));
        assert!(!Pattern::new("a*".repeat(30) + "b").fits(&"a".repeat(5_000)));
    }

    #[test]
    fn no_patterns_fit_everything() {
        assert!(Patterns::default().fit(None));
        let some: Patterns = ["a", "b*"].into_iter().collect();
        assert!(some.fit(Some("b1")) && !some.fit(Some("c")) && !some.fit(None));
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        assert!(serde_json::from_str::<Patterns>(r#"["a",""]"#).is_err());
    }
}
