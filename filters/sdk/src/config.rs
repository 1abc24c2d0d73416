//! The sidecar's `config` as a filter's own type.

use serde::de::DeserializeOwned;

/// Reads a configuration. The error names the key that is wrong, and what would be accepted.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut source = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // The operator wrote TOML: a position in the JSON made of it says nothing.
        let what = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(what, _)| what);
        if path == "." {
            format!("config: {what}")
        } else {
            format!("config.{path}: {what}")
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Rule {
        rate: f64,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Config {
        rules: Vec<Rule>,
    }

    #[test]
    fn an_error_says_where_and_what() {
        let error = |text: &str| super::parse::<Config>(text).unwrap_err();
        assert_eq!(
            error(r#"{"rules":[{"rate":1},{"rate":"fast"}]}"#),
            "config.rules[1].rate: invalid type: string \"fast\", expected f64"
        );
        assert_eq!(
            error(r#"{"rules":[{"rat":1}]}"#),
            "config.rules[0].rat: unknown field `rat`, expected `rate`"
        );
        assert_eq!(error("{}"), "config: missing field `rules`");
    }
}
