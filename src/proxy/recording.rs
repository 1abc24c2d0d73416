//! Recordings of a proxy: which commands somebody wants, and how these become lines, away from the sessions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::Stream;
use tracing::{info, warn};
use wildmatch::WildMatch;

use crate::admin::Refused;
use crate::admin::view::RecordQuery;
use crate::filter::recorded::{Body, Facts, Header, LeftOut, Plain, Recorded};
use crate::metrics::{Metrics, Sheet, list};
use crate::protocol::{Code, DecodeError, request as rq};
use crate::session::{Captured, Recorder, Tap};

/// An empty line while there is nothing to tell, so that both sides know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Bytes after which a piece is handed over, although more commands wait.
const PIECE: usize = 256 << 10;

/// Which commands.
#[derive(Debug)]
struct Wanted {
    codes: Vec<Code>,
    topic: Option<WildMatch>,
    group: Option<WildMatch>,
    client: Option<WildMatch>,
    sample: f64,
}

impl Wanted {
    fn new(query: &RecordQuery) -> Result<Self, Refused> {
        let invalid = |what: String, accepted: &str| Refused::Invalid {
            what,
            accepted: accepted.to_owned(),
        };
        let words = query.code.iter().flat_map(|text| text.split(','));
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        let code = |word: &str| {
            let named = rq::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
            let code = named
                .map(|(code, _)| *code)
                .or_else(|| word.parse().ok().map(Code));
            code.ok_or_else(|| {
                let accepted = "request codes by name or number, as SEND_MESSAGE_V2,310";
                invalid(format!("code cannot be {word:?}"), accepted)
            })
        };
        let sample = query.sample.unwrap_or(1.0);
        if !(sample > 0.0 && sample <= 1.0) {
            let accepted = "a number above 0 and up to 1, such as 0.1";
            return Err(invalid(format!("sample cannot be {sample}"), accepted));
        }
        let pattern = |text: Option<&String>| {
            text.filter(|text| !text.is_empty())
                .map(|text| WildMatch::new(text))
        };
        Ok(Self {
            codes: words.map(code).collect::<Result<_, _>>()?,
            topic: pattern(query.topic.as_ref()),
            group: pattern(query.group.as_ref()),
            client: pattern(query.client.as_ref()),
            sample,
        })
    }

    fn wants(&self, captured: &Captured) -> bool {
        let fits = |pattern: Option<&WildMatch>, text: Option<&str>| {
            pattern.is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        (self.codes.is_empty() || self.codes.contains(&captured.code))
            && fits(self.topic.as_ref(), captured.named.topic.as_deref())
            && fits(self.group.as_ref(), captured.named.group.as_deref())
            && self.is_from(captured)
            && self.is_in_sample(captured)
    }

    fn is_from(&self, captured: &Captured) -> bool {
        let Some(pattern) = &self.client else { return true };
        let client = &captured.client;
        let named = [client.client_id.as_deref(), client.user.as_deref()];
        named.into_iter().flatten().any(|who| pattern.matches(who))
            || pattern.matches(&client.peer.to_string())
    }

    /// By chance, but the same for a request and its answer.
    fn is_in_sample(&self, captured: &Captured) -> bool {
        if self.sample >= 1.0 {
            return true;
        }
        let seed = captured.client.connection.rotate_left(32) ^ u64::from(captured.opaque.cast_unsigned());
        fastrand::Rng::with_seed(seed).f64() < self.sample
    }
}

/// Lines of one recording.
pub(super) struct Recording {
    recorder: Recorder,
    began: Instant,
    bodies: bool,
    header: Option<Header>,
    heartbeat: Interval,
    written: u64,
    left_out: u64,
}

impl Recording {
    /// Begins to record at `tap`.
    pub(super) fn begin(tap: &Tap, query: &RecordQuery) -> Result<Self, Refused> {
        let wanted = Wanted::new(query)?;
        let bodies = query.bodies.unwrap_or_default();
        info!(?query, "a recording begins");
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        Ok(Self {
            recorder: tap.record(bodies, move |captured| wanted.wants(captured)),
            began: Instant::now(),
            bodies,
            header: Some(Header::now(bodies)),
            heartbeat,
            written: 0,
            left_out: 0,
        })
    }

    fn line(&self, captured: &Captured) -> Result<Recorded, DecodeError> {
        let body = Body {
            recorded: self.bodies,
            size: captured.body_size,
        };
        let asked = captured.asked.as_ref().map(|asked: &Arc<Captured>| {
            let body = Body {
                recorded: false,
                size: asked.body_size,
            };
            Plain::of(&asked.frame, asked.code, body)
        });
        let at = captured.at.saturating_duration_since(self.began);
        Ok(Recorded {
            at_us: u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
            way: captured.way,
            session: captured.client.connection,
            client: Facts::of(&captured.client),
            broker: captured.broker.as_deref().map(str::to_owned),
            command: Plain::of(&captured.frame, captured.code, body)?,
            asked: asked.transpose()?,
        })
    }

    /// Says what was left out since it was said last.
    fn tell_left_out(&mut self, piece: &mut String) {
        let left_out = self.recorder.take_dropped();
        if left_out > 0 {
            self.left_out = self.left_out.saturating_add(left_out);
            put(piece, &LeftOut { left_out });
        }
    }
}

/// Writes a line.
fn put(piece: &mut String, line: &impl Serialize) {
    // What cannot be written as JSON does not exist among lines.
    if let Ok(text) = serde_json::to_string(line) {
        *piece += &text;
        piece.push('\n');
    }
}

impl Stream for Recording {
    type Item = String;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut piece = String::new();
        if let Some(header) = self.header.take() {
            put(&mut piece, &header);
            return Poll::Ready(Some(piece));
        }
        while piece.len() < PIECE {
            let Poll::Ready(Some(captured)) = self.recorder.poll_next(cx) else {
                break;
            };
            match self.line(&captured) {
                Ok(line) => {
                    self.written = self.written.saturating_add(1);
                    put(&mut piece, &line);
                }
                Err(error) => {
                    warn!(%error, code = captured.code.0, "a command cannot be recorded");
                    self.left_out = self.left_out.saturating_add(1);
                    put(&mut piece, &LeftOut { left_out: 1 });
                }
            }
        }
        self.tell_left_out(&mut piece);
        let is_time = self.heartbeat.poll_tick(cx).is_ready();
        if piece.is_empty() && is_time {
            piece.push('\n');
        }
        if piece.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(piece))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        info!(
            commands = self.written,
            left_out = self.left_out,
            "a recording has ended"
        );
    }
}

/// Has what was recorded counted.
pub(super) fn count(metrics: &Metrics, tap: &Tap) {
    let tap = tap.clone();
    metrics.add(move |sheet: &mut Sheet| {
        let (captured, dropped) = tap.counts();
        sheet.count(list::RECORDED, &[], captured);
        sheet.count(list::RECORDING_DROPPED, &[], dropped);
    });
}
