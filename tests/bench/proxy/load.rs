//! The generator: one thread, requests made beforehand, a window of them in flight on each connection.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use gimbal::protocol::{Command, FRAME_LIMIT, Frame, Kind};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::cpu;
use super::frames::{self, Ring};
use super::job::{Job, Sample};
use super::open;
use super::sink::total;

/// Bytes read at once.
const READ: usize = 256 << 10;

/// A connection that has sent its heartbeat and had one command of each kind answered.
pub(crate) fn connect(job: &Job, client: usize) -> Result<std::net::TcpStream, String> {
    let failed = |what: &str| format!("connection {client}: {what}");
    let mut stream = std::net::TcpStream::connect_timeout(&job.target, Duration::from_secs(5))
        .map_err(|error| failed(&error.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| failed(&error.to_string()))?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(|error| failed(&error.to_string()))?;
    let kind = if job.binary { Kind::Binary } else { Kind::Json };
    let first = [
        frames::heartbeat(kind, client),
        frames::send(kind, 2),
        frames::pull(kind, 3),
    ];
    for (at, request) in (1..).zip(&first) {
        stream
            .write_all(request)
            .map_err(|error| failed(&error.to_string()))?;
        let mut answer = vec![0; 4];
        stream
            .read_exact(&mut answer)
            .map_err(|error| failed(&error.to_string()))?;
        let whole = total(&answer).unwrap_or_default().clamp(8, FRAME_LIMIT);
        answer.resize(whole, 0);
        stream
            .read_exact(&mut answer[4..])
            .map_err(|error| failed(&error.to_string()))?;
        let frame = Frame::whole(answer.into(), FRAME_LIMIT).ok().flatten();
        let answer = frame.and_then(|frame| Command::decode(&frame).ok());
        match answer {
            Some(answer) if answer.opaque == at && answer.code.0 == 0 => {}
            other => return Err(failed(&format!("request {at} was answered {other:?}"))),
        }
    }
    stream
        .set_nonblocking(true)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(stream)
}

/// Measures as the job says.
pub(crate) fn run(job: &Job) -> Sample {
    let mut idle = Vec::new();
    for client in 0..job.idle {
        match connect(job, 1_000 + client) {
            Ok(stream) => idle.push(stream),
            Err(error) => {
                eprintln!("idle connections end at {client}: {error}");
                break;
            }
        }
    }
    let streams: Result<Vec<_>, String> = (0..job.connections).map(|client| connect(job, client)).collect();
    let mut sample = match streams {
        Ok(streams) if job.connections == 0 => {
            drop(streams);
            let mut meter = Meter::start(job);
            std::thread::sleep(Duration::from_secs_f64(job.seconds));
            meter.end(0)
        }
        Ok(streams) if job.rate.is_some() => open::run(job, streams),
        Ok(streams) => closed(job, streams),
        Err(error) => Sample {
            void: Some(error),
            used: vec![0.0; job.processes.len()],
            ..Sample::default()
        },
    };
    sample.idle = idle.len();
    sample
}

/// The clocks of all processes from the moment that counting begins.
pub(crate) struct Meter<'a> {
    job: &'a Job,
    began: Instant,
    own: Duration,
    used: Vec<Duration>,
    wakeups: Vec<u64>,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(job: &'a Job) -> Self {
        Self {
            job,
            used: job.processes.iter().map(|pid| cpu::used(*pid)).collect(),
            wakeups: job.processes.iter().map(|pid| cpu::wakeups(*pid)).collect(),
            own: cpu::used(std::process::id()),
            began: Instant::now(),
        }
    }

    pub(crate) fn end(&mut self, commands: u64) -> Sample {
        let seconds = self.began.elapsed().as_secs_f64();
        let own = cpu::used(std::process::id()).saturating_sub(self.own);
        let pids = || self.job.processes.iter();
        Sample {
            commands,
            seconds,
            own: own.as_secs_f64(),
            used: pids()
                .zip(&self.used)
                .map(|(pid, before)| cpu::used(*pid).saturating_sub(*before).as_secs_f64())
                .collect(),
            wakeups: pids()
                .zip(&self.wakeups)
                .map(|(pid, before)| cpu::wakeups(*pid).saturating_sub(*before))
                .collect(),
            resident: pids().map(|pid| cpu::resident(*pid)).collect(),
            ..Sample::default()
        }
    }
}

/// Counts the frames that go by without keeping them.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// Bytes of the frame under way that are still to come, once its length is known.
    ahead: usize,
    /// The bytes of a length word that came in two pieces.
    word: Vec<u8>,
}

impl Counting {
    /// How many frames end in these bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        loop {
            let step = self.ahead.min(bytes.len());
            bytes = &bytes[step..];
            self.ahead -= step;
            if step > 0 && self.ahead == 0 {
                ended += 1;
            }
            if bytes.is_empty() {
                return ended;
            }
            let missing = (4 - self.word.len()).min(bytes.len());
            self.word.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            let Some(total) = total(&self.word) else {
                return ended;
            };
            self.ahead = total - 4;
            self.word.clear();
        }
    }
}

struct Connection {
    stream: TcpStream,
    counting: Counting,
    /// Commands written in full or in part, and answered.
    sent: u64,
    answered: u64,
    /// Bytes of the last command that the socket did not take.
    unsent: usize,
}

fn closed(job: &Job, streams: Vec<std::net::TcpStream>) -> Sample {
    let kind = if job.binary { Kind::Binary } else { Kind::Json };
    // A multiple of four for the mix, and more than are in flight.
    let ring = Ring::new(job.traffic, kind, usize::try_from(job.depth / 4 * 4 + 4).unwrap());
    let mut poll = Poll::new().unwrap();
    let mut connections: Vec<Connection> = Vec::new();
    for (at, stream) in streams.into_iter().enumerate() {
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(at), interest)
            .unwrap();
        connections.push(Connection {
            stream,
            counting: Counting::default(),
            sent: 0,
            answered: 0,
            unsent: 0,
        });
    }
    let warm = Instant::now() + Duration::from_secs_f64((job.seconds / 4.0).min(1.0));
    let mut meter = None;
    let mut counted = 0;
    let mut events = Events::with_capacity(1_024);
    let mut scratch = vec![0; READ];
    let mut heard = Instant::now();
    loop {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(100))) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
        let now = Instant::now();
        for event in &events {
            heard = now;
            let connection = &mut connections[event.token().0];
            let answered = if event.is_readable() {
                connection.read(&mut scratch)
            } else {
                Ok(0)
            };
            match answered.and_then(|count| connection.fill(&ring, job.depth).map(|()| count)) {
                Ok(count) => counted += count,
                Err(error) => return void(job, error),
            }
        }
        if now.duration_since(heard) > Duration::from_secs(5) {
            return void(job, "no answers for 5 s".to_owned());
        }
        if meter.is_none() && now >= warm {
            meter = Some(Meter::start(job));
            counted = 0;
        }
        let over = |meter: &Meter<'_>| meter.began.elapsed().as_secs_f64() >= job.seconds;
        if let Some(meter) = meter.as_mut().filter(|meter| over(meter)) {
            return meter.end(counted);
        }
    }
}

pub(crate) fn void(job: &Job, error: String) -> Sample {
    Sample {
        void: Some(error),
        used: vec![0.0; job.processes.len()],
        ..Sample::default()
    }
}

impl Connection {
    /// Reads what there is; how many commands were answered by it.
    fn read(&mut self, scratch: &mut [u8]) -> Result<u64, String> {
        let mut answered = 0;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err("closed".to_owned()),
                Ok(read) => {
                    answered += self.counting.feed(&scratch[..read]);
                    if read < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        self.answered += answered;
        Ok(answered)
    }

    /// Fills the window up again, in one write.
    fn fill(&mut self, ring: &Ring, depth: u64) -> Result<(), String> {
        let target = self.answered + depth;
        loop {
            let mut bytes = ring.slice(self.sent, target);
            if self.unsent > 0 {
                let last = ring.slice(self.sent - 1, self.sent);
                bytes = &last[last.len() - self.unsent..];
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let mut written = match self.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            if self.unsent > 0 {
                self.unsent -= written;
                continue;
            }
            while written > 0 {
                let len = ring.len(self.sent);
                self.sent += 1;
                self.unsent = len.saturating_sub(written);
                written = written.saturating_sub(len);
            }
        }
    }
}
