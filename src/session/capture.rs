//! Commands for whoever records them: as filters are about to see them, and at no cost while nobody records.
//!
//! Nothing here waits, and nothing is written down here: a frame is shared and put into a queue of bounded length and
//! size. What does not fit is counted, and the recording says so. Frames large enough to have reserved memory are copied,
//! since a recorder that is slow must not keep what other clients wait for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Session, State};
use crate::filter::Client;
use crate::filter::recorded::Direction;
use crate::metrics::Named;
use crate::protocol::{Code, Frame, Head};
use crate::route;
use crate::socket::LARGE_FRAME;

/// Commands that wait for one recorder.
const QUEUE: usize = 4_096;
/// Bytes of them.
const QUEUE_BYTES: usize = 16 << 20;
/// Without bodies, a header is taken out of frames above this size, so that their bodies are not kept.
const KEPT_WHOLE: usize = 4 << 10;

/// One command as filters are about to see it.
#[derive(Debug)]
pub struct Captured {
    /// When.
    pub at: Instant,
    /// Which way it goes.
    pub way: Direction,
    /// Who is at the other end.
    pub client: Arc<Client>,
    /// The broker that answered or asked.
    pub broker: Option<Arc<str>>,
    /// Topic and group of the request.
    pub named: Arc<Named>,
    /// The request's code, also of a response.
    pub code: Code,
    /// The client's number of the request.
    pub opaque: i32,
    /// The command; without its body where nobody records bodies.
    pub frame: Frame,
    /// Bytes of its body.
    pub body_size: usize,
    /// Of a response: its request, without the body.
    pub asked: Option<Arc<Self>>,
}

/// Where commands are offered to recorders. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Somebody records: asked for every command, so that it must cost no more than this.
    is_on: AtomicBool,
    outlets: ArcSwap<Vec<Arc<Outlet>>>,
    captured: AtomicU64,
    dropped: AtomicU64,
}

/// What one recorder wants of a command.
type Wants = dyn Fn(&Captured) -> bool + Send + Sync;

/// The sessions' end of one recorder.
struct Outlet {
    wants: Box<Wants>,
    bodies: bool,
    queue: mpsc::Sender<Arc<Captured>>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The reader's end. Dropping it ends the recording.
#[derive(Debug)]
pub struct Recorder {
    tap: Tap,
    outlet: Arc<Outlet>,
    queue: mpsc::Receiver<Arc<Captured>>,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

impl Tap {
    /// Everything from now on that `wants` says yes to. It is asked by sessions, and must be quick; of a response it is
    /// asked again what it was asked of the request.
    pub fn record(
        &self,
        bodies: bool,
        wants: impl Fn(&Captured) -> bool + Send + Sync + 'static,
    ) -> Recorder {
        let (sender, queue) = mpsc::channel(QUEUE);
        let outlet = Arc::new(Outlet {
            wants: Box::new(wants),
            bodies,
            queue: sender,
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        });
        self.0.outlets.rcu(|outlets| {
            let mut outlets = Vec::clone(outlets);
            outlets.push(Arc::clone(&outlet));
            outlets
        });
        self.0.is_on.store(true, Ordering::Relaxed);
        Recorder {
            tap: self.clone(),
            outlet,
            queue,
        }
    }

    /// Whether anybody records.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Commands put into a queue, and those that did not fit, since the start.
    pub fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.0.captured), read(&self.0.dropped))
    }

    /// Offers a command to all; whether anybody wanted it.
    fn offer(&self, captured: Captured) -> Option<Arc<Captured>> {
        let outlets = self.0.outlets.load();
        let about = captured.asked.clone();
        let about = about.as_deref().unwrap_or(&captured);
        let wanted: Vec<&Arc<Outlet>> = outlets.iter().filter(|outlet| (outlet.wants)(about)).collect();
        let bodies = wanted.iter().any(|outlet| outlet.bodies);
        if wanted.is_empty() {
            return None;
        }
        let captured = Arc::new(Captured {
            frame: kept(&captured.frame, bodies),
            ..captured
        });
        for outlet in wanted {
            let count = if outlet.put(&captured) {
                &self.0.captured
            } else {
                &self.0.dropped
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(captured)
    }
}

/// What is kept of a frame.
fn kept(frame: &Frame, bodies: bool) -> Frame {
    match frame.len() {
        len if !bodies && len > KEPT_WHOLE => without_body(frame),
        len if len > LARGE_FRAME => frame.copied(),
        _ => frame.clone(),
    }
}

fn without_body(frame: &Frame) -> Frame {
    let header = Frame::join(frame.kind(), frame.header(), Bytes::new());
    header.unwrap_or_else(|_as_long_as_before| frame.copied())
}

impl Outlet {
    /// Whether there was room.
    fn put(&self, captured: &Arc<Captured>) -> bool {
        let len = captured.frame.len();
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(len) <= QUEUE_BYTES;
        if fits && self.queue.try_send(Arc::clone(captured)).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
        false
    }
}

impl Recorder {
    /// The next command; `None` never comes while this lives.
    ///
    /// # Cancel safety
    /// No command is lost when this is dropped.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Arc<Captured>>> {
        let next = self.queue.poll_recv(cx);
        if let std::task::Poll::Ready(Some(captured)) = &next {
            self.outlet
                .bytes
                .fetch_sub(captured.frame.len(), Ordering::Relaxed);
        }
        next
    }

    /// How many did not fit since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        self.outlet.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let inner = &self.tap.0;
        inner.outlets.rcu(|outlets| {
            let others = outlets.iter().filter(|outlet| !Arc::ptr_eq(outlet, &self.outlet));
            others.cloned().collect::<Vec<_>>()
        });
        if inner.outlets.load().is_empty() {
            inner.is_on.store(false, Ordering::Relaxed);
            // Somebody may have come in between.
            if !inner.outlets.load().is_empty() {
                inner.is_on.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Session {
    /// A request is about to be shown to filters, or would be if there were any.
    pub(super) fn tap_request(&self, state: &mut State, (head, frame): (&Head, &Frame), user: Option<&str>) {
        if self.core.tap.is_on() {
            self.capture_request(state, (head, frame), user);
        }
    }

    #[cold]
    fn capture_request(&self, state: &mut State, (head, frame): (&Head, &Frame), user: Option<&str>) {
        let Some(named) = state.named(head.opaque) else {
            return;
        };
        let captured = Captured {
            at: Instant::now(),
            way: Direction::Request,
            client: state.filters.client_of((head, frame), user),
            broker: self.place.broker.clone(),
            named,
            code: head.code,
            opaque: head.opaque,
            frame: frame.clone(),
            body_size: frame.body().len(),
            asked: None,
        };
        let Some(captured) = self.core.tap.offer(captured).filter(|_| !head.is_oneway()) else {
            return;
        };
        // Its answer is recorded with what was asked; a body would be kept for as long as a long poll takes.
        let asked = Captured {
            at: captured.at,
            way: captured.way,
            client: Arc::clone(&captured.client),
            broker: captured.broker.clone(),
            named: Arc::clone(&captured.named),
            code: captured.code,
            opaque: captured.opaque,
            frame: without_body(&captured.frame),
            body_size: captured.body_size,
            asked: None,
        };
        state.note_captured(head.opaque, Arc::new(asked));
    }

    /// An answer is about to be shown to filters, or would be if there were any.
    pub(super) fn tap_response(&self, state: &State, (frame, opaque): (&Frame, i32), link: Option<u32>) {
        if self.core.tap.is_on()
            && let Some(asked) = state.captured(opaque)
        {
            self.capture_response(state, asked, frame, link);
        }
    }

    #[cold]
    fn capture_response(&self, state: &State, asked: Arc<Captured>, frame: &Frame, link: Option<u32>) {
        let slot = link.and_then(|id| state.links.get(&id));
        self.core.tap.offer(Captured {
            at: Instant::now(),
            way: Direction::Response,
            client: Arc::clone(&asked.client),
            broker: slot.map(|slot| Arc::clone(&slot.link.broker)),
            named: Arc::clone(&asked.named),
            code: asked.code,
            opaque: asked.opaque,
            frame: frame.clone(),
            body_size: frame.body().len(),
            asked: Some(asked),
        });
    }

    /// A request of a broker is about to be shown to filters.
    pub(super) fn tap_push(&self, state: &State, frame: &Frame, broker: Option<&Arc<str>>) {
        if self.core.tap.is_on()
            && let Ok(head) = Head::scan(frame)
        {
            self.capture_push(state, (&head, frame), broker);
        }
    }

    #[cold]
    fn capture_push(&self, state: &State, (head, frame): (&Head, &Frame), broker: Option<&Arc<str>>) {
        let named = {
            let fields = head.fields(frame);
            let named = route::Named::of(head.code, &fields);
            Named::new(named.topic(head.code).as_deref(), named.group().as_deref())
        };
        self.core.tap.offer(Captured {
            at: Instant::now(),
            way: Direction::Push,
            client: Arc::clone(&state.filters.client),
            broker: broker.cloned(),
            named: Arc::new(named),
            code: head.code,
            opaque: head.opaque,
            frame: frame.clone(),
            body_size: frame.body().len(),
            asked: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Command;
    use crate::protocol::request as rq;

    fn captured(body: usize) -> Captured {
        let command = Command::request(rq::SEND_MESSAGE_V2, 1).with_body(vec![b'x'; body]);
        let peer: std::net::SocketAddr = "10.0.0.1:1".parse().unwrap();
        Captured {
            at: Instant::now(),
            way: Direction::Request,
            client: Arc::new(Client::new(peer, "main".into(), 1)),
            broker: None,
            named: Arc::default(),
            code: rq::SEND_MESSAGE_V2,
            opaque: 1,
            frame: command.encode().unwrap(),
            body_size: body,
            asked: None,
        }
    }

    async fn next(recorder: &mut Recorder) -> Arc<Captured> {
        std::future::poll_fn(|cx| recorder.poll_next(cx)).await.unwrap()
    }

    #[tokio::test]
    async fn a_tap_is_on_while_somebody_records() {
        let tap = Tap::default();
        assert!(!tap.is_on());
        let one = tap.record(false, |_| true);
        let two = tap.record(false, |_| true);
        drop(one);
        assert!(tap.is_on());
        drop(two);
        assert!(!tap.is_on());
        assert!(tap.offer(captured(1)).is_none());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_nobody_waits() {
        let tap = Tap::default();
        let mut recorder = tap.record(false, |_| true);
        for _ in 0..QUEUE + 3 {
            assert!(tap.offer(captured(1)).is_some());
        }
        assert_eq!(recorder.take_dropped(), 3);
        assert_eq!(recorder.take_dropped(), 0);
        assert_eq!(tap.counts(), (u64::try_from(QUEUE).unwrap(), 3));
        next(&mut recorder).await;
        tap.offer(captured(1));
        assert_eq!(recorder.take_dropped(), 0);
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_and_one_frame_always_fits() {
        let tap = Tap::default();
        let mut recorder = tap.record(true, |_| true);
        tap.offer(captured(QUEUE_BYTES - 1_000));
        tap.offer(captured(2_000));
        assert_eq!(recorder.take_dropped(), 1);
        next(&mut recorder).await;
        tap.offer(captured(2_000));
        assert_eq!(
            (recorder.take_dropped(), next(&mut recorder).await.body_size),
            (0, 2_000)
        );
    }

    #[tokio::test]
    async fn bodies_are_kept_only_for_those_who_record_them() {
        let tap = Tap::default();
        let mut without = tap.record(false, |_| true);
        tap.offer(captured(10_000));
        let seen = next(&mut without).await;
        assert_eq!((seen.frame.body().len(), seen.body_size), (0, 10_000));
        let mut with = tap.record(true, |captured| captured.body_size > 20_000);
        tap.offer(captured(10_000));
        tap.offer(captured(100_000));
        assert_eq!(next(&mut with).await.frame.body().len(), 100_000);
    }
}
