//! One rule: to whom it holds, and what it takes away.

use gimbal_sdk::prelude::*;

use crate::json::{Action, NotJson, Path, edit};

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What stands in place of a masked value.
    #[serde(default = "stars")]
    pub mask_text: String,
    /// Every rule that fits a message is applied.
    pub rules: Vec<Written>,
}

fn stars() -> String {
    "***".to_owned()
}

/// A rule as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    name: Option<String>,
    #[serde(default)]
    topics: Patterns,
    #[serde(default)]
    groups: Patterns,
    #[serde(default)]
    except_groups: Patterns,
    #[serde(default)]
    users: Patterns,
    #[serde(default)]
    except_users: Patterns,
    #[serde(default)]
    addresses: Networks,
    #[serde(default)]
    mask: Vec<String>,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    non_json: NonJson,
}

/// What becomes of a body that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NonJson {
    /// It goes on as it is.
    Pass,
    /// Its message is taken out.
    Drop,
    /// Nothing goes on.
    #[default]
    Fail,
}

/// A rule that has been checked.
#[derive(Debug)]
pub struct Rule {
    name: String,
    written: Written,
    paths: Vec<(Path, Action)>,
}

/// Who gets the messages.
#[derive(Debug)]
pub struct Reader {
    group: Option<String>,
    user: Option<String>,
    address: String,
}

impl Reader {
    /// The client of this command.
    pub fn of(command: &Command) -> Self {
        let client = command.client();
        Self {
            group: command.group(),
            user: client.user(),
            address: client.ip(),
        }
    }
}

impl Rule {
    /// Checks the rule at position `at`.
    pub fn new(written: Written, at: usize) -> Result<Self, String> {
        let mut paths = Vec::new();
        for (texts, action, key) in [
            (&written.mask, Action::Mask, "mask"),
            (&written.drop, Action::Drop, "drop"),
        ] {
            for (place, text) in texts.iter().enumerate() {
                let path =
                    Path::new(text).map_err(|why| format!("config.rules[{at}].{key}[{place}]: {why}"))?;
                paths.push((path, action));
            }
        }
        if paths.is_empty() {
            return Err(format!("config.rules[{at}]: a rule has `mask`, `drop` or both"));
        }
        Ok(Self {
            name: written.name.clone().unwrap_or_else(|| format!("rule {}", at + 1)),
            written,
            paths,
        })
    }

    /// How the rule is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What becomes of a body that is no JSON.
    pub fn non_json(&self) -> NonJson {
        self.written.non_json
    }

    /// Whether the rule holds for who gets the message. Where a command tells no group, as queries do not, a rule about
    /// groups holds: it must not be enough to ask in another way.
    pub fn holds_for(&self, reader: &Reader) -> bool {
        let rule = &self.written;
        let user = reader.user.as_deref();
        let group = reader.group.as_deref();
        (group.is_none() || rule.groups.fit(group))
            && !group.is_some_and(|group| rule.except_groups.any_fits(group))
            && rule.users.fit(user)
            && !user.is_some_and(|user| rule.except_users.any_fits(user))
            && rule.addresses.fit(&reader.address)
    }

    /// Whether the rule is about messages of this topic.
    pub fn is_about(&self, topic: Option<&str>) -> bool {
        self.written.topics.fit(topic)
    }

    /// The body without what the rule takes away; none if there is nothing of it inside.
    pub fn apply(&self, body: &[u8], mask: &str) -> Result<Option<Vec<u8>>, NotJson> {
        if body.is_empty() {
            return Ok(None);
        }
        edit(body, &self.paths, mask)
    }
}
