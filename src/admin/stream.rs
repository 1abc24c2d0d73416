//! The live tail as server-sent events: finished commands that a caller wants to see, and how many it missed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::Event;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;
use utoipa::IntoParams;
use wildmatch::WildMatch;

use crate::telemetry::{Outcome, Record, Tail};

/// Commands told to one caller in a second; nobody reads more, and what is above is counted as missed.
const PER_SECOND: u32 = 500;
const SECOND: Duration = Duration::from_secs(1);

/// Which commands.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TailQuery {
    /// Request codes, by name or number, separated by commas.
    pub code: Option<String>,
    /// The topic; `*` and `?` stand for what is not known of it.
    pub topic: Option<String>,
    /// The producer or consumer group; `*` and `?` as well.
    pub group: Option<String>,
    /// The client id, address or user; `*` and `?` as well.
    pub client: Option<String>,
    /// A filter that decided something about it.
    pub filter: Option<String>,
    /// How it ended, one or several separated by commas: forwarded, answered, denied, dropped, closed, refused, failed.
    pub outcome: Option<String>,
    /// Show about this part of them, above 0 and up to 1. Default: 1.
    pub sample: Option<f64>,
}

/// A query, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    codes: Vec<String>,
    topic: Option<WildMatch>,
    group: Option<WildMatch>,
    client: Option<WildMatch>,
    filter: Option<String>,
    outcomes: Vec<Outcome>,
    sample: f64,
}

const OUTCOMES: [(&str, Outcome); 7] = [
    ("forwarded", Outcome::Forwarded),
    ("answered", Outcome::Answered),
    ("denied", Outcome::Denied),
    ("dropped", Outcome::Dropped),
    ("closed", Outcome::Closed),
    ("refused", Outcome::Refused),
    ("failed", Outcome::Failed),
];

fn words(text: Option<&String>) -> impl Iterator<Item = &str> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

impl Wanted {
    /// `Err` says what cannot be, and what is accepted.
    pub(super) fn new(query: &TailQuery) -> Result<Self, (String, &'static str)> {
        let outcome = |word: &str| {
            let known = OUTCOMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            let accepted = "forwarded, answered, denied, dropped, closed, refused, failed";
            known
                .map(|(_, outcome)| *outcome)
                .ok_or((format!("outcome cannot be {word:?}"), accepted))
        };
        let sample = query.sample.unwrap_or(1.0);
        if !(sample > 0.0 && sample <= 1.0) {
            return Err((
                format!("sample cannot be {sample}"),
                "a number above 0 and up to 1, such as 0.1",
            ));
        }
        let pattern = |text: Option<&String>| {
            text.filter(|text| !text.is_empty())
                .map(|text| WildMatch::new(text))
        };
        Ok(Self {
            codes: words(query.code.as_ref()).map(str::to_owned).collect(),
            topic: pattern(query.topic.as_ref()),
            group: pattern(query.group.as_ref()),
            client: pattern(query.client.as_ref()),
            filter: query.filter.clone().filter(|name| !name.is_empty()),
            outcomes: words(query.outcome.as_ref())
                .map(outcome)
                .collect::<Result<_, _>>()?,
            sample,
        })
    }

    fn wants(&self, record: &Record) -> bool {
        let fits = |pattern: Option<&WildMatch>, text: Option<&str>| {
            pattern.is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        let is_code = |code: &String| {
            record.name.eq_ignore_ascii_case(code) || code.parse().is_ok_and(|code: i32| code == record.code)
        };
        let who = [
            record.client.as_deref(),
            Some(&*record.peer),
            record.user.as_deref(),
        ];
        let is_client = self.client.is_none() || who.iter().any(|who| fits(self.client.as_ref(), *who));
        let is_filter = |name: &String| record.filters.iter().any(|decision| *decision.filter == **name);
        (self.codes.is_empty() || self.codes.iter().any(is_code))
            && (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome))
            && fits(self.topic.as_ref(), record.topic.as_deref())
            && fits(self.group.as_ref(), record.group.as_deref())
            && is_client
            && self.filter.as_ref().is_none_or(is_filter)
            && (self.sample >= 1.0 || fastrand::f64() < self.sample)
    }
}

/// The events of one caller.
pub(super) struct Events {
    records: BroadcastStream<Arc<Record>>,
    wanted: Wanted,
    /// Waits until it was told how many were missed before it.
    next: Option<Arc<Record>>,
    missed: u64,
    second: Instant,
    told: u32,
    is_begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl Events {
    pub(super) fn new(tail: &Tail, wanted: Wanted, permit: OwnedSemaphorePermit) -> Self {
        Self {
            records: BroadcastStream::new(tail.subscribe()),
            wanted,
            next: None,
            missed: 0,
            second: Instant::now(),
            told: 0,
            is_begun: false,
            _permit: permit,
        }
    }

    /// Whether one more may be told in this second.
    fn may_tell(&mut self) -> bool {
        if self.second.elapsed() >= SECOND {
            (self.second, self.told) = (Instant::now(), 0);
        }
        self.told = self.told.saturating_add(1);
        self.told <= PER_SECOND
    }

    fn missed(&mut self) -> Option<Event> {
        let missed = std::mem::take(&mut self.missed);
        let event = Event::default().event("missed");
        (missed > 0).then(|| event.data(format!("{{\"missed\":{missed}}}")))
    }
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_begun {
            // So that the caller knows at once that it is heard.
            self.is_begun = true;
            return Poll::Ready(Some(Ok(Event::default().event("begin").data("{}"))));
        }
        loop {
            if let Some(record) = self.next.take() {
                // What cannot be written as JSON does not exist among records.
                let event = Event::default().event("command").json_data(&*record);
                return Poll::Ready(Some(Ok(event.unwrap_or_default())));
            }
            match Pin::new(&mut self.records).poll_next(cx) {
                Poll::Ready(Some(Ok(record))) if !self.wanted.wants(&record) => {}
                Poll::Ready(Some(Ok(_record))) if !self.may_tell() => {
                    self.missed = self.missed.saturating_add(1);
                }
                Poll::Ready(Some(Ok(record))) => {
                    self.next = Some(record);
                    if let Some(missed) = self.missed() {
                        return Poll::Ready(Some(Ok(missed)));
                    }
                }
                Poll::Ready(Some(Err(Lagged(count)))) => self.missed = self.missed.saturating_add(count),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.missed > 0 && self.second.elapsed() >= SECOND => {
                    return Poll::Ready(self.missed().map(Ok));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::telemetry::{Decision, Way};

    fn record() -> Record {
        Record {
            time: SystemTime::UNIX_EPOCH,
            session: 1,
            listener: "main".into(),
            peer: "10.0.0.1:5".into(),
            client: Some("10.0.0.1@7".into()),
            user: None,
            way: Way::Request,
            code: 310,
            name: "SEND_MESSAGE_V2",
            oneway: false,
            topic: Some("orders-eu".into()),
            group: None,
            broker: None,
            outcome: Outcome::Denied,
            result: Some(16),
            filters: vec![Decision {
                filter: "acl".into(),
                phase: "request",
                verdict: "answer",
                detail: None,
            }],
            remark: None,
            total_us: 10,
            upstream_us: None,
            chain_us: None,
            request_bytes: 1,
            response_bytes: 1,
        }
    }

    fn wants(query: &str) -> bool {
        let uri = format!("/?{query}").parse().unwrap();
        let query = axum::extract::Query::<TailQuery>::try_from_uri(&uri).unwrap().0;
        Wanted::new(&query).unwrap().wants(&record())
    }

    #[test]
    fn a_command_is_shown_when_everything_asked_for_fits() {
        for query in [
            "",
            "code=310",
            "code=11,send_message_v2",
            "topic=orders-*",
            "topic=&group=",
            "client=10.0.0.1*",
            "client=*@7",
            "outcome=failed,Denied",
            "filter=acl",
            "topic=orders-eu&outcome=denied&code=310",
        ] {
            assert!(wants(query), "{query}");
        }
        for query in [
            "code=11",
            "topic=orders",
            "group=*",
            "client=10.0.0.2*",
            "outcome=forwarded",
            "filter=redact",
            "topic=orders-eu&outcome=failed",
        ] {
            assert!(!wants(query), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        for (query, said) in [
            (
                TailQuery {
                    outcome: Some("denied,lost".to_owned()),
                    ..TailQuery::default()
                },
                "outcome cannot be \"lost\"",
            ),
            (
                TailQuery {
                    sample: Some(0.0),
                    ..TailQuery::default()
                },
                "sample cannot be 0",
            ),
            (
                TailQuery {
                    sample: Some(f64::NAN),
                    ..TailQuery::default()
                },
                "sample cannot be NaN",
            ),
        ] {
            assert_eq!(Wanted::new(&query).unwrap_err().0, said);
        }
    }
}
