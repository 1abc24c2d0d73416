//! The command under decision: read as little as is asked for, changed in place, and undone when its filter fails.

mod asked;
mod content;
mod fields;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::access::Facts;
use super::messages::Acknowledge;
use super::names::Mapping;
use super::{Client, Failure, Trail, Watch};
use crate::protocol::{Code, Command, Fields, Frame, Head, Index, Kind};

pub use asked::Asked;
use content::Content;
use turn::Turn;

/// Which way a command travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client, to be answered or one-way.
    Request,
    /// Towards the client, as the answer to its request.
    Response,
    /// From a broker to its client.
    Push,
    /// Towards the broker, as the client's answer to its push.
    PushResponse,
    /// There is no command: a connection came or went.
    Connection,
}

/// Whether a command carries a signature that a change would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signed {
    /// It does not.
    #[default]
    No,
    /// By a client whose key Gimbal has: it is signed again after a change.
    Renewable,
    /// And nobody here can sign it again.
    Final,
}

/// Names as a filter mapped them for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// The id of the member that made it; it ends when that member goes.
    pub owner: u64,
}

/// A command on its way through a chain.
#[derive(Debug)]
pub struct Subject {
    way: Way,
    /// The request's code, whichever way this is.
    code: Code,
    head: Head,
    frame: Frame,
    /// Decoded once somebody wants to change more than can be set in its bytes.
    command: Option<Arc<Command>>,
    is_changed: bool,
    /// The changed command as it will go out, once it has been written.
    written: Option<(Head, Frame)>,
    /// Where the ext fields stand in the bytes it has now.
    index: OnceLock<Index>,
    content: Content,
    /// The command with messages as they were edited, once somebody looked.
    seen: Option<Box<Command>>,
    facts: Option<Arc<Facts>>,
    asked: Option<Arc<Asked>>,
    client: Arc<Client>,
    names: Option<Names>,
    names_changed: bool,
    signed: Signed,
    /// The broker that answered.
    answered_by: Option<Arc<str>>,
    /// What the filter did that it may not.
    breach: Option<Failure>,
    max_delay: Duration,
    body_limit: usize,
    turn: Turn,
    acknowledge: Vec<Acknowledge>,
    trail: Trail,
    watch: Option<Box<Watch>>,
}

impl Subject {
    /// A request, of a client or of a broker.
    pub fn request(way: Way, head: Head, frame: Frame, client: Arc<Client>) -> Self {
        Self {
            way,
            code: head.code,
            head,
            frame,
            command: None,
            is_changed: false,
            written: None,
            index: OnceLock::new(),
            content: Content::Unread,
            seen: None,
            facts: None,
            asked: None,
            client,
            names: None,
            names_changed: false,
            signed: Signed::No,
            answered_by: None,
            breach: None,
            max_delay: Duration::ZERO,
            body_limit: usize::MAX,
            turn: Turn::default(),
            acknowledge: Vec::new(),
            trail: Trail::default(),
            watch: None,
        }
    }

    /// The answer to what was `asked`.
    pub fn response(way: Way, head: Head, frame: Frame, asked: Arc<Asked>, client: Arc<Client>) -> Self {
        let mut subject = Self::request(way, head, frame, client);
        subject.code = asked.code;
        subject.names.clone_from(&asked.names);
        subject.asked = Some(asked);
        subject
    }

    /// No command: a connection that came or went.
    pub fn connection(client: Arc<Client>) -> Self {
        Self::request(Way::Connection, Head::bare(), Frame::bare(), client)
    }

    /// The same with names as they are mapped now.
    #[must_use]
    pub fn with_names(mut self, names: Option<Names>) -> Self {
        self.names = names;
        self
    }

    /// The same with the places of its ext fields, which somebody else needed as well.
    #[must_use]
    pub fn with_index(mut self, index: Index) -> Self {
        self.index = index.into();
        self
    }

    /// The same, signed or not.
    #[must_use]
    pub fn with_signature(mut self, signed: Signed) -> Self {
        self.signed = signed;
        self
    }

    /// The same with the name of the broker that answered.
    #[must_use]
    pub fn with_broker(mut self, broker: Option<Arc<str>>) -> Self {
        self.answered_by = broker;
        self
    }

    /// The same with its longest delay, and the most bytes a body may grow to when it is decompressed.
    #[must_use]
    pub fn with_limits(mut self, max_delay: Duration, body_limit: usize) -> Self {
        self.max_delay = max_delay;
        self.body_limit = body_limit;
        self
    }

    /// The same with notes taken of what filters do with it.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.watch = Some(Box::default());
        self
    }

    /// Which way it travels.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The code of the request.
    pub fn request_code(&self) -> Code {
        self.code
    }

    /// The code of the command itself.
    pub fn code(&self) -> Code {
        let changed = self.command.as_ref().filter(|_| self.is_changed);
        changed.map_or(self.head.code, |command| command.code)
    }

    /// The head it came with.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Bytes it came with.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// How its header is written.
    pub fn kind(&self) -> Kind {
        self.frame.kind()
    }

    /// Never true: a command has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The ext fields, whatever filters have changed since.
    pub fn fields_as_they_came(&self) -> Fields<'_> {
        if self.is_changed {
            return self.head.fields(&self.frame);
        }
        self.fields_now()
    }

    /// The bytes it has now, unless a decoded command was changed and not written yet.
    fn bytes_now(&self) -> (&Head, &Frame) {
        match &self.written {
            Some((head, frame)) if self.is_changed => (head, frame),
            _ => (&self.head, &self.frame),
        }
    }

    /// The ext fields in them.
    fn fields_now(&self) -> Fields<'_> {
        let (head, frame) = self.bytes_now();
        let fields = head.fields(frame);
        fields.indexed(self.index.get_or_init(|| fields.index()))
    }

    /// The offset that a pull asks for.
    pub fn queue_offset(&self) -> Option<i64> {
        self.fields_as_they_came().int("queueOffset")
    }

    /// Whether nobody waits for an answer.
    pub fn is_oneway(&self) -> bool {
        self.head.is_oneway()
    }

    /// Whether a broker sent the request.
    pub fn is_push(&self) -> bool {
        matches!(self.way, Way::Push | Way::PushResponse)
    }

    /// Who is at the other end.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The longest delay.
    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// Whether the client signed it.
    pub fn is_signed(&self) -> bool {
        self.signed != Signed::No
    }

    /// How names are mapped for this connection.
    pub fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// Maps names otherwise from this command on.
    pub fn set_names(&mut self, mapping: Option<Mapping>) {
        if self.names.as_ref().map(|names| &*names.mapping) == mapping.as_ref() {
            return;
        }
        self.names = mapping.map(|mapping| Names {
            mapping: Arc::new(mapping),
            owner: self.turn.asker,
        });
        self.names_changed = true;
    }

    /// Whether a filter mapped names otherwise since this was asked last.
    pub fn take_names_changed(&mut self) -> bool {
        std::mem::take(&mut self.names_changed)
    }

    /// The command as it is now: the bytes it came in when nothing was changed.
    pub fn into_parts(mut self) -> Result<Parts, String> {
        self.write_content()?;
        let is_changed = self.write()?.is_some();
        let command = self.command.take();
        let (head, frame) = match self.written {
            Some(written) if is_changed => written,
            _ => (self.head, self.frame),
        };
        Ok(Parts {
            head,
            frame,
            index: self.index.into_inner(),
            is_changed,
            command,
            acknowledge: self.acknowledge,
        })
    }
}

/// What a subject becomes when its chain is done.
#[derive(Debug)]
pub struct Parts {
    /// The head.
    pub head: Head,
    /// The frame.
    pub frame: Frame,
    /// Where the ext fields stand in it, as far as known.
    pub index: Option<Index>,
    /// Whether it differs from what came in.
    pub is_changed: bool,
    /// The same command decoded, when somebody had to.
    pub command: Option<Arc<Command>>,
    /// Messages taken out of a pop, to be acknowledged at the broker.
    pub acknowledge: Vec<Acknowledge>,
}
