//! The open loop: commands leave when their time has come, and latency counts from that time, whatever held them up.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gimbal::protocol::Kind;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::frames::Ring;
use super::job::{Job, Sample, float};
use super::load::{Counting, Meter, void};

/// Commands in flight on one connection above which the proxy is said to be overloaded.
const RING: usize = 512;

/// When each command is to leave, after the beginning: a Poisson process, the same in every run.
fn schedule(job: &Job) -> Arc<[Duration]> {
    let rate = job.rate.unwrap_or(1.0);
    let mut random = fastrand::Rng::with_seed(7);
    let mut at = 0.0;
    let mut all = Vec::new();
    while at < job.seconds + warm(job).as_secs_f64() {
        all.push(Duration::from_secs_f64(at));
        at -= (1.0 - random.f64()).ln() / rate;
    }
    all.into()
}

fn warm(job: &Job) -> Duration {
    Duration::from_secs_f64((job.seconds / 4.0).min(1.0))
}

/// Sends on one thread, receives on another; the schedule says what each answer is measured from.
pub(crate) fn run(job: &Job, streams: Vec<TcpStream>) -> Sample {
    let schedule = schedule(job);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<TcpStream> = streams.iter().map(|stream| stream.try_clone().unwrap()).collect();
    let began = Instant::now() + Duration::from_millis(20);
    let sender = {
        let (job, schedule, stop) = (job.clone(), Arc::clone(&schedule), Arc::clone(&stop));
        thread::spawn(move || send(&job, &schedule, senders, began, &stop))
    };
    let received = receive(job, &schedule, streams, began);
    stop.store(true, Ordering::Relaxed);
    let sent = sender.join().unwrap();
    match (received, sent) {
        (Ok(sample), Ok(())) => sample,
        (Err(error), _) | (_, Err(error)) => void(job, error),
    }
}

fn send(
    job: &Job,
    schedule: &[Duration],
    mut streams: Vec<TcpStream>,
    began: Instant,
    stop: &AtomicBool,
) -> Result<(), String> {
    // A sleep ends when it is due, not 50 microseconds later.
    drop(fs::write("/proc/thread-self/timerslack_ns", "1"));
    let kind = if job.binary { Kind::Binary } else { Kind::Json };
    let ring = Ring::new(job.traffic, kind, RING);
    let count = streams.len();
    for (at, due) in schedule.iter().enumerate() {
        let due = began + *due;
        let ahead = due.saturating_duration_since(Instant::now());
        if !ahead.is_zero() {
            thread::sleep(ahead);
        }
        let turn = u64::try_from(at / count).unwrap();
        let mut bytes = ring.slice(turn, turn + 1);
        while !bytes.is_empty() {
            match streams[at % count].write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_micros(50));
                }
                Err(error) => return Err(error.to_string()),
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Peer {
    stream: mio::net::TcpStream,
    counting: Counting,
    /// Answers that came.
    turn: usize,
}

/// What came back so far.
struct Received<'a> {
    schedule: &'a [Duration],
    began: Instant,
    /// From when on answers are measured.
    warm: Instant,
    histogram: Histogram<u64>,
    answered: usize,
    scratch: Vec<u8>,
}

impl Received<'_> {
    /// Reads what there is on the connection `at` of `count`.
    fn read(&mut self, peer: &mut Peer, at: usize, count: usize) -> Result<(), String> {
        loop {
            let read = match peer.stream.read(&mut self.scratch) {
                Ok(0) => return Err("closed".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            let now = Instant::now();
            for _ in 0..peer.counting.feed(&self.scratch[..read]) {
                let due = self.began + self.schedule[peer.turn * count + at];
                peer.turn += 1;
                self.answered += 1;
                if due >= self.warm {
                    let late = now.saturating_duration_since(due).as_nanos();
                    self.histogram.saturating_record(u64::try_from(late).unwrap());
                }
            }
            if read < self.scratch.len() {
                return Ok(());
            }
        }
    }

    /// Commands that are due and have no answer.
    fn behind(&self) -> usize {
        let now = Instant::now();
        let due = self.schedule.partition_point(|due| self.began + *due <= now);
        due.saturating_sub(self.answered)
    }

    fn sample(&self, meter: &mut Meter<'_>, before: usize) -> Sample {
        let quantile = |q: f64| float(self.histogram.value_at_quantile(q)) / 1_000.0;
        let mut sample = meter.end(u64::try_from(self.answered - before).unwrap());
        sample.latency = Some([quantile(0.5), quantile(0.99), quantile(0.999)]);
        let left = self.schedule.len() - self.answered;
        if left > 0 {
            sample.void = Some(format!("{left} were not answered"));
        }
        sample
    }
}

fn receive(
    job: &Job,
    schedule: &[Duration],
    streams: Vec<TcpStream>,
    began: Instant,
) -> Result<Sample, String> {
    let mut poll = Poll::new().unwrap();
    let mut peers: Vec<Peer> = Vec::new();
    for (at, stream) in streams.into_iter().enumerate() {
        let mut stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE;
        poll.registry()
            .register(&mut stream, Token(at), interest)
            .unwrap();
        peers.push(Peer {
            stream,
            counting: Counting::default(),
            turn: 0,
        });
    }
    let count = peers.len();
    let mut received = Received {
        schedule,
        began,
        warm: began + warm(job),
        histogram: Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap(),
        answered: 0,
        scratch: vec![0; 256 << 10],
    };
    let end = received.warm + Duration::from_secs_f64(job.seconds + 5.0);
    let mut events = Events::with_capacity(1_024);
    let mut meter: Option<(Meter<'_>, usize)> = None;
    loop {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(100))) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
        for event in &events {
            let Token(at) = event.token();
            received.read(&mut peers[at], at, count)?;
        }
        if received.behind() > RING * count {
            return Err("overloaded: more than 512 commands wait on each connection".to_owned());
        }
        if meter.is_none() && Instant::now() >= received.warm {
            meter = Some((Meter::start(job), received.answered));
        }
        let over = received.answered == schedule.len() || Instant::now() > end;
        if let Some((meter, before)) = meter.as_mut().filter(|_| over) {
            return Ok(received.sample(meter, *before));
        }
    }
}
