//! `[limits]`: sizes and numbers at which something is refused, waits, or stops being read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine;
use super::problem::Problems;
use super::value::Size;

const KIB: usize = 1 << 10;
/// What clients of every age read; none answers a larger frame with anything but a closed connection.
const CLIENT_FRAME: usize = 16 << 20;
/// The frame length travels as a signed 32-bit number.
const LARGEST_FRAME: usize = 0x7fff_ffff;
/// More than this is not taken unless it is asked for.
const MEMORY_UNASKED: usize = 4 << 30;
/// Openings in progress unless the operator says otherwise.
const OPENINGS_UNASKED: usize = 4_096;

/// Sizes at which something is refused or stops being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Largest frame, its length word included. A session that sends a larger one is closed.
    pub frame: Size,
    /// Bytes waiting towards one peer above which its sources are no longer read.
    pub queue: Size,
    /// Client connections in all; above it, accepting waits.
    pub connections: usize,
    /// Connections of one client address; above it, a new one is closed at once. Of IPv6 the first 64 bits count, since
    /// a client has all the rest to itself. Behind a balancer this needs the PROXY protocol. Default: 0, no limit.
    pub connections_per_address: usize,
    /// Connections of one user of signed commands; above it, the first command is answered with 16 (no permission) and
    /// the connection closed. Default: 0, no limit.
    pub connections_per_user: usize,
    /// Connections of which it is not known yet what they speak, handshakes included. Above it the one that has waited
    /// longest is closed, or accepting waits while all are young. Default: a quarter of connections, at most 4096.
    pub openings: Option<usize>,
    /// Memory for commands on their way. A quarter of it is for large ones (above 64 KiB) of clients, a quarter for large
    /// ones of brokers, each reserved before they are read, first come first served; the rest is for all small ones: when
    /// that much waits in queues, clients that have something waiting are not read. Default: a quarter of the memory of
    /// the machine or container, at most 4 GiB.
    pub memory: Option<Size>,
    /// The same for one session: half is for what goes to brokers, half for what comes from them. Default: 64 MiB, or
    /// twice the larger of frame and queue.
    pub session_memory: Option<Size>,
}

/// Sizes, in bytes or counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame including its length word; the session that sends a larger one is closed.
    pub frame: usize,
    /// Bytes waiting towards one peer above which its sources are no longer read.
    pub queue: usize,
    /// Client connections in all; above it, accepting waits.
    pub connections: usize,
    /// Connections of one client address; `None` is as many as there are.
    pub connections_per_address: Option<usize>,
    /// Connections of one user of signed commands; `None` is as many as there are.
    pub connections_per_user: Option<usize>,
    /// Connections of which it is not known yet what they speak.
    pub openings: usize,
    /// Bytes of commands on their way, in all.
    pub memory: usize,
    /// Bytes of commands on their way, of one session.
    pub session_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 16 << 20,
            queue: 4 << 20,
            connections: 100_000,
            connections_per_address: None,
            connections_per_user: None,
            openings: OPENINGS_UNASKED,
            memory: 1 << 30,
            session_memory: 64 << 20,
        }
    }
}

impl Default for LimitsSection {
    fn default() -> Self {
        let default = Limits::default();
        Self {
            frame: Size(default.frame),
            queue: Size(default.queue),
            connections: default.connections,
            connections_per_address: 0,
            connections_per_user: 0,
            openings: None,
            memory: None,
            session_memory: None,
        }
    }
}

impl LimitsSection {
    /// Checks the section.
    pub(super) fn check(&self, problems: &mut Problems) -> Limits {
        let frame = self.frame.0;
        if !(KIB..=LARGEST_FRAME).contains(&frame) {
            problems.error(
                "limits.frame",
                format!("is {}", self.frame),
                "1 KiB to 2147483647 B",
            );
        } else if frame > CLIENT_FRAME {
            let what = format!(
                "is {}, more than clients read unless they are told to",
                self.frame
            );
            problems.warning(
                "limits.frame",
                what,
                "16 MiB, or the clients' own com.rocketmq.remoting.frameMaxLength",
            );
        }
        if self.queue.0 < 64 * KIB {
            problems.error("limits.queue", format!("is {}", self.queue), "64 KiB or more");
        }
        if self.connections == 0 {
            problems.error("limits.connections", "is 0, so nobody could connect", "1 or more");
        }
        if self.openings == Some(0) {
            problems.error("limits.openings", "is 0, so nobody could connect", "1 or more");
        }
        let some = |count: usize| (count > 0).then_some(count);
        Limits {
            frame,
            queue: self.queue.0,
            connections: self.connections,
            connections_per_address: some(self.connections_per_address),
            connections_per_user: some(self.connections_per_user),
            openings: self
                .openings
                .unwrap_or((self.connections / 4).clamp(1, OPENINGS_UNASKED)),
            memory: self.check_memory(problems),
            session_memory: self.check_session_memory(problems),
        }
    }

    /// A frame of the largest size must fit into each part.
    fn check_memory(&self, problems: &mut Problems) -> usize {
        let least = Size(self.frame.0.saturating_mul(4));
        let memory = match self.memory {
            Some(memory) => memory.0,
            None => (machine::memory() / 4).clamp(least.0, MEMORY_UNASKED.max(least.0)),
        };
        if memory < least.0 {
            let what = format!(
                "is {}, where a frame of {} must fit into a quarter",
                Size(memory),
                self.frame
            );
            problems.error(
                "limits.memory",
                what,
                format!("{least} or more, or a smaller limits.frame"),
            );
        }
        memory
    }

    fn check_session_memory(&self, problems: &mut Problems) -> usize {
        let least = Size(self.frame.0.max(self.queue.0).saturating_mul(2));
        let Some(memory) = self.session_memory else {
            return Limits::default().session_memory.max(least.0);
        };
        if memory.0 < least.0 {
            let what =
                format!("is {memory}, where limits.frame and limits.queue must each fit into half of it");
            problems.error("limits.session_memory", what, format!("{least} or more"));
        }
        memory.0
    }
}
