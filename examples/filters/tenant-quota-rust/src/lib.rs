//! Gives every tenant a rate and a number of messages a day.

use std::collections::BTreeMap;
use std::time::Duration;

use gimbal_sdk::clock;
use gimbal_sdk::prelude::*;

/// Nanoseconds of a day.
const DAY: u64 = 86_400_000_000_000;

/// What one tenant may send.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    per_second: f64,
    per_day: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantQuota {
    /// By the tenant's name.
    #[serde(default)]
    tenants: BTreeMap<String, Quota>,
    /// For tenants that are not named.
    others: Quota,
}

impl Filter for TenantQuota {
    type Config = Self;

    fn new(config: Self) -> Result<Self, String> {
        Ok(config)
    }

    /// Bodies are wanted because messages are counted: a batch has several.
    fn interests(&self) -> Vec<Interest> {
        vec![Interest::sends().with_body()]
    }
}

impl Requests for TenantQuota {
    fn on_request(&self, command: &Command) -> Verdict {
        match self.take(command) {
            Ok(()) => Verdict::Forward,
            Err(_) if command.is_oneway() => Verdict::Drop,
            Err((code, why)) => Verdict::answer(code, why),
        }
    }
}

impl TenantQuota {
    fn take(&self, command: &Command) -> Result<(), (Code, String)> {
        let tenant = tenant(command);
        let quota = self.tenants.get(&tenant).unwrap_or(&self.others);
        let messages = command.messages().count().map_err(|why| (code::MESSAGE_ILLEGAL, why))?;
        // One second's worth at once. Producers give up at once on both codes.
        let rate = Limit::new(&tenant, quota.per_second, quota.per_second.ceil() as u64);
        rate.acquire(messages.into())
            .map_err(|wait| (code::FLOW_CONTROL, format!("{tenant} sends too fast; try again in {wait} ms")))?;
        // The number of the day is in the key, so tomorrow begins anew; what is left of yesterday goes by itself.
        let key = format!("{tenant} {}", clock::now() / DAY);
        let failed = |why| (code::SYSTEM_ERROR, why);
        let sent = Store::increment(&key, messages.into(), Some(Duration::from_secs(2 * 86_400))).map_err(failed)?;
        if sent > quota.per_day {
            Store::increment(&key, -i64::from(messages), None).map_err(failed)?;
            let most = quota.per_day;
            return Err((code::MESSAGE_ILLEGAL, format!("{tenant} has sent its {most} messages of today")));
        }
        Ok(())
    }
}

/// The user whose signature was verified; without one, what stands before the first `_` of the topic.
fn tenant(command: &Command) -> String {
    command.client().user().unwrap_or_else(|| {
        let topic = command.topic().unwrap_or_default();
        topic.split('_').next().unwrap_or_default().to_owned()
    })
}

gimbal_sdk::export!(TenantQuota: requests);

#[cfg(test)]
mod tests {
    use gimbal_sdk::testing::{Request, load};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tenant_beyond_its_day_is_refused_and_others_are_not() {
        let config = json!({ "others": { "per_second": 100, "per_day": 2 } });
        let filter = load::<TenantQuota>(config).unwrap();
        for expected in [None, None, Some(code::MESSAGE_ILLEGAL)] {
            assert_eq!(filter.request(Request::send("acme_orders")).answer_code(), expected);
        }
        assert_eq!(filter.request(Request::send("zeta_orders")).verdict, Verdict::Forward);
    }
}
