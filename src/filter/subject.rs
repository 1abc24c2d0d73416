//! The command under decision: read as little as is asked for, changed in place, and undone when its filter fails.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::access::{Facts, broker_field, group_field, queue_field, topic_field};
use super::messages::{Acknowledge, Messages, PopRequest};
use super::names::Mapping;
use super::{Access, Answer, Client, Failure};
use crate::protocol::body::Heartbeat;
use crate::protocol::request as rq;
use crate::protocol::{Code, Command, Fields, Frame, Head, Kind};

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
pub enum Seal {
    /// Not signed.
    #[default]
    Open,
    /// Signed by a client whose key Gimbal has: it is signed again after a change.
    Renewable,
    /// Signed, and nobody here can sign it again.
    Sealed,
}

/// What is remembered of a request until its answer comes, for filters that see answers.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request's code.
    pub code: Code,
    /// Its header as the client wrote it, without the body.
    pub head: Head,
    /// The header's bytes.
    pub frame: Frame,
    /// Names as they were mapped for the request.
    pub names: Option<Arc<Mapping>>,
    /// The user that signed it.
    pub user: Option<Arc<str>>,
    /// Topics and groups in it; those in its body were looked up before the body went.
    facts: OnceLock<Arc<Facts>>,
}

/// The messages of a command: not looked at, none there, or read.
#[derive(Debug, Default)]
enum Content {
    #[default]
    Unread,
    None,
    Read(Messages),
}

/// A command on its way through a chain.
#[derive(Debug)]
pub struct Subject {
    way: Way,
    /// The request's code, whichever way this is.
    code: Code,
    head: Head,
    frame: Frame,
    /// Decoded once somebody wants to change something or see all fields.
    command: Option<Command>,
    is_changed: bool,
    content: Content,
    facts: Option<Arc<Facts>>,
    asked: Option<Arc<Asked>>,
    client: Arc<Client>,
    names: Option<Arc<Mapping>>,
    names_changed: bool,
    seal: Seal,
    /// The broker that answered.
    answered_by: Option<Arc<str>>,
    /// What the filter did that it may not.
    breach: Option<Failure>,
    max_delay: Duration,
    body_limit: usize,
    /// Whether the filter that is called may see the body.
    shows_body: bool,
    acknowledge: Vec<Acknowledge>,
}

/// A subject before a filter was called.
#[derive(Debug)]
pub(super) struct Checkpoint {
    command: Option<Command>,
    is_changed: bool,
    names: Option<Arc<Mapping>>,
    names_changed: bool,
    acknowledged: usize,
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
            content: Content::Unread,
            facts: None,
            asked: None,
            client,
            names: None,
            names_changed: false,
            seal: Seal::Open,
            answered_by: None,
            breach: None,
            max_delay: Duration::ZERO,
            body_limit: usize::MAX,
            shows_body: false,
            acknowledge: Vec::new(),
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

    /// No command and nobody at the other end.
    pub fn none() -> Self {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Self::connection(Arc::new(Client::new(nobody, "".into(), 0)))
    }

    /// The same with names as they are mapped now.
    #[must_use]
    pub fn with_names(mut self, names: Option<Arc<Mapping>>) -> Self {
        self.names = names;
        self
    }

    /// The same with the seal of its signature.
    #[must_use]
    pub fn with_seal(mut self, seal: Seal) -> Self {
        self.seal = seal;
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
        self.head.code
    }

    /// The head it came with.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How its header is written.
    pub fn kind(&self) -> Kind {
        self.frame.kind()
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
        self.seal != Seal::Open
    }

    /// Human text.
    pub fn remark(&self) -> Option<Cow<'_, str>> {
        match &self.command {
            Some(command) => command.remark.as_ref().map(|text| text.as_str().into()),
            None => {
                let command = Command::decode(&self.frame).ok()?;
                command.remark.map(|text| text.as_str().to_owned().into())
            }
        }
    }

    /// Sets the remark.
    pub fn set_remark(&mut self, remark: &str) {
        if let Some(command) = self.edit("sets the remark") {
            command.remark = Some(remark.into());
        }
    }

    /// An ext field.
    pub fn field(&mut self, name: &str) -> Option<Cow<'_, str>> {
        self.settle_content();
        match &self.command {
            Some(command) => command.field(name).map(Cow::Borrowed),
            None => self.head.fields(&self.frame).find(name),
        }
    }

    /// Every ext field, in order.
    pub fn fields(&mut self) -> Vec<(String, String)> {
        self.settle_content();
        match &self.command {
            Some(command) => {
                let fields = command.ext.iter().flatten();
                fields
                    .filter(|field| self.frame.kind() == Kind::Json || !field.value.as_str().is_empty())
                    .map(|field| (field.name.clone(), field.value.as_str().to_owned()))
                    .collect()
            }
            None => self.head.fields(&self.frame).to_pairs(),
        }
    }

    /// Sets an ext field.
    pub fn set_field(&mut self, name: &str, value: &str) {
        self.settle_content();
        if let Some(command) = self.edit("sets an ext field") {
            command.set_field(name, value);
            self.forget_derived();
        }
    }

    /// Removes an ext field; whether it was there.
    pub fn remove_field(&mut self, name: &str) -> bool {
        self.settle_content();
        if self.field(name).is_none() {
            return false;
        }
        let Some(command) = self.edit("removes an ext field") else {
            return false;
        };
        command.remove_field(name);
        self.forget_derived();
        true
    }

    /// An ext field of the request.
    pub fn request_field(&mut self, name: &str) -> Option<Cow<'_, str>> {
        if self.asked.is_none() {
            return self.field(name);
        }
        let asked = self.asked.as_ref()?;
        asked.head.fields(&asked.frame).find(name)
    }

    /// The topic of the request.
    pub fn topic(&mut self) -> Option<String> {
        let (code, is_in_body) = (self.code, has_names_in_body(self.code));
        if is_in_body {
            return self.facts().topics().next().map(str::to_owned);
        }
        self.with_request(|fields| topic_field(code, fields).map(Cow::into_owned))
    }

    /// The group of the request.
    pub fn group(&mut self) -> Option<String> {
        let (code, is_in_body) = (self.code, has_names_in_body(self.code));
        if is_in_body {
            return self.facts().groups().next().map(str::to_owned);
        }
        self.with_request(|fields| group_field(code, fields).map(Cow::into_owned))
    }

    /// The queue of the request.
    pub fn queue_id(&mut self) -> Option<i32> {
        let code = self.code;
        self.with_request(|fields| queue_field(code, fields))
    }

    /// The broker that the request names.
    pub fn broker(&mut self) -> Option<String> {
        let code = self.code;
        self.with_request(|fields| broker_field(code, fields).map(Cow::into_owned))
    }

    /// Everything the request touches.
    pub fn accesses(&mut self) -> Vec<Access> {
        self.facts().accesses.clone()
    }

    /// Takes a consumer group out of a heartbeat; whether it was there.
    pub fn remove_group(&mut self, group: &str) -> bool {
        if self.way != Way::Request || self.code != rq::HEART_BEAT {
            return false;
        }
        let Some(without) = Heartbeat::without_group(&self.body_bytes(), group) else {
            return false;
        };
        let Some(command) = self.edit("takes a group out of a heartbeat") else {
            return false;
        };
        command.body = without;
        self.forget_derived();
        true
    }

    /// Bytes of the body.
    pub fn body_size(&mut self) -> usize {
        self.settle_content();
        self.current_body().len()
    }

    /// The body; empty, and a breach, for a filter that did not ask for bodies.
    pub fn body(&mut self) -> Bytes {
        if !self.may_see_body("reads the body") {
            return Bytes::new();
        }
        self.body_bytes()
    }

    /// Replaces the body.
    pub fn set_body(&mut self, body: Bytes) {
        if !self.may_see_body("replaces the body") {
            return;
        }
        self.settle_content();
        if let Some(command) = self.edit("replaces the body") {
            command.body = body;
            self.forget_derived();
        }
    }

    /// The messages in it, for reading; `None` when it carries none.
    pub fn messages(&mut self) -> Result<Option<&Messages>, String> {
        self.read_content()?;
        match &self.content {
            Content::Read(messages) => Ok(Some(messages)),
            Content::Unread | Content::None => Ok(None),
        }
    }

    /// The messages in it, for editing.
    pub fn messages_mut(&mut self) -> Result<Option<&mut Messages>, String> {
        self.read_content()?;
        if self.seal == Seal::Sealed && self.way == Way::Request {
            self.breach
                .get_or_insert_with(|| Failure::Signed("changes a message".to_owned()));
            return Err("the command is signed with a key that Gimbal does not have".to_owned());
        }
        match &mut self.content {
            Content::Read(messages) => Ok(Some(messages)),
            Content::Unread | Content::None => Ok(None),
        }
    }

    /// How names are mapped for this connection.
    pub fn names(&self) -> Option<&Arc<Mapping>> {
        self.names.as_ref()
    }

    /// Maps names otherwise from this command on.
    pub fn set_names(&mut self, names: Option<Arc<Mapping>>) {
        if self.names != names {
            self.names = names;
            self.names_changed = true;
        }
    }

    /// Whether a filter mapped names otherwise.
    pub fn names_changed(&self) -> bool {
        self.names_changed
    }

    /// What is to be remembered until the answer comes.
    pub fn to_asked(&mut self) -> Arc<Asked> {
        let facts = OnceLock::new();
        if has_names_in_body(self.code) {
            facts.get_or_init(|| self.facts());
        }
        let header = Frame::join(self.frame.kind(), self.frame.header(), Bytes::new());
        Arc::new(Asked {
            code: self.code,
            head: self.head.clone(),
            frame: header.unwrap_or_else(|_as_long_as_before| self.frame.clone()),
            names: self.names.clone(),
            user: self.client.user.clone(),
            facts,
        })
    }

    /// The command as it is now: the bytes it came in when nothing was changed.
    pub fn into_parts(mut self) -> Result<Parts, String> {
        self.write_content()?;
        let acknowledge = self.acknowledge;
        let Some(command) = self.command.filter(|_| self.is_changed) else {
            return Ok(Parts {
                head: self.head,
                frame: self.frame,
                is_changed: false,
                acknowledge,
            });
        };
        let frame = command.encode().map_err(|error| error.to_string())?;
        let head = Head::scan(&frame).map_err(|error| error.to_string())?;
        Ok(Parts {
            head,
            frame,
            is_changed: true,
            acknowledge,
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
    /// Whether it differs from what came in.
    pub is_changed: bool,
    /// Messages taken out of a pop, to be acknowledged at the broker.
    pub acknowledge: Vec<Acknowledge>,
}

/// What the chain does with a subject between two filters.
impl Subject {
    /// Prepares for a filter, which may see the body or not.
    pub(super) fn show(&mut self, body: bool) -> Checkpoint {
        self.shows_body = body;
        self.breach = None;
        Checkpoint {
            // What is not changed yet can be read again from the frame.
            command: self.command.as_ref().filter(|_| self.is_changed).cloned(),
            is_changed: self.is_changed,
            names: self.names.clone(),
            names_changed: self.names_changed,
            acknowledged: self.acknowledge.len(),
        }
    }

    /// Takes back whatever has been changed since.
    pub(super) fn undo(&mut self, to: Checkpoint) {
        self.command = to.command;
        self.is_changed = to.is_changed;
        self.names = to.names;
        self.names_changed = to.names_changed;
        self.acknowledge.truncate(to.acknowledged);
        self.forget_derived();
    }

    /// What the filter did that it may not, and whether what it changed can be written.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        if let Some(breach) = self.breach.take() {
            return Err(breach);
        }
        self.write_content().map_err(Failure::Unwritable)
    }

    /// Puts a filter's answer in the place of this response.
    pub(super) fn replace(&mut self, answer: &Answer) -> Result<(), String> {
        let command = answer.to_command(&self.head, self.frame.kind());
        let frame = command.encode().map_err(|error| error.to_string())?;
        self.head = Head::scan(&frame).map_err(|error| error.to_string())?;
        self.frame = frame;
        self.command = Some(command);
        self.is_changed = true;
        self.content = Content::Unread;
        self.acknowledge.clear();
        Ok(())
    }

    /// Topics and groups of the request.
    pub(super) fn facts(&mut self) -> Arc<Facts> {
        if let Some(asked) = &self.asked {
            let fields = asked.head.fields(&asked.frame);
            let facts = || Arc::new(Facts::of(asked.code, &fields, b""));
            return Arc::clone(asked.facts.get_or_init(facts));
        }
        self.settle_content();
        if let Some(facts) = &self.facts {
            return Arc::clone(facts);
        }
        let code = self.code;
        let body = self.current_body();
        let facts = Arc::new(self.with_request(|fields| Facts::of(code, fields, &body)));
        self.facts = Some(Arc::clone(&facts));
        facts
    }

    /// Calls `read` with the ext fields of the request.
    fn with_request<T>(&mut self, read: impl Fn(&Fields<'_>) -> T) -> T {
        if let Some(asked) = &self.asked {
            return read(&asked.head.fields(&asked.frame));
        }
        self.settle_content();
        match self.command.as_ref().filter(|_| self.is_changed) {
            // Rare: somebody looks at names after something was changed.
            Some(command) => match command.encode() {
                Ok(frame) => match Head::scan(&frame) {
                    Ok(head) => read(&head.fields(&frame)),
                    Err(_never) => read(&self.head.fields(&self.frame)),
                },
                Err(_too_long) => read(&self.head.fields(&self.frame)),
            },
            None => read(&self.head.fields(&self.frame)),
        }
    }

    fn current_body(&self) -> Bytes {
        match &self.command {
            Some(command) => command.body.clone(),
            None => self.frame.body_bytes(),
        }
    }

    fn body_bytes(&mut self) -> Bytes {
        self.settle_content();
        self.current_body()
    }

    fn may_see_body(&mut self, what: &str) -> bool {
        if !self.shows_body {
            self.breach
                .get_or_insert_with(|| Failure::NoBody(what.to_owned()));
        }
        self.shows_body
    }

    /// The command to change; `None`, and a breach, when its signature would not survive.
    fn edit(&mut self, what: &str) -> Option<&mut Command> {
        if self.way == Way::Connection {
            return None;
        }
        if self.seal == Seal::Sealed && self.way == Way::Request {
            self.breach
                .get_or_insert_with(|| Failure::Signed(what.to_owned()));
            return None;
        }
        self.decode()?;
        self.is_changed = true;
        self.command.as_mut()
    }

    fn decode(&mut self) -> Option<&mut Command> {
        if self.command.is_none() {
            // The head was scanned, so the header is well formed.
            self.command = Command::decode(&self.frame).ok();
        }
        self.command.as_mut()
    }

    fn forget_derived(&mut self) {
        self.facts = None;
        self.content = Content::Unread;
    }

    fn read_content(&mut self) -> Result<(), String> {
        if !self.may_see_body("looks at messages") {
            return Err("none of the filter's interests has needs-body".to_owned());
        }
        if matches!(self.content, Content::Unread) {
            let (way, code, limit) = (self.way, self.code, self.body_limit);
            let Some(command) = self.decode() else {
                return Ok(());
            };
            self.content = match Messages::read(way, code, command, limit) {
                Ok(Some(messages)) => Content::Read(messages),
                Ok(None) => Content::None,
                Err(error) => return Err(error.to_string()),
            };
        }
        Ok(())
    }

    /// Writes edited messages back, so that fields and body say the same.
    fn settle_content(&mut self) {
        if let Err(why) = self.write_content() {
            self.breach.get_or_insert(Failure::Unwritable(why));
        }
    }

    fn write_content(&mut self) -> Result<(), String> {
        if !matches!(&self.content, Content::Read(messages) if messages.is_changed()) {
            return Ok(());
        }
        let Content::Read(messages) = std::mem::take(&mut self.content) else {
            return Ok(());
        };
        let pop = self.pop_request();
        let Some(command) = self.command.as_mut() else {
            return Ok(());
        };
        let taken_out = messages
            .write(command, pop.as_ref())
            .map_err(|error| error.to_string())?;
        self.acknowledge.extend(taken_out);
        self.is_changed = true;
        self.facts = None;
        Ok(())
    }

    fn pop_request(&self) -> Option<PopRequest> {
        let asked = self
            .asked
            .as_ref()
            .filter(|asked| asked.code == rq::POP_MESSAGE && self.way == Way::Response)?;
        let fields = asked.head.fields(&asked.frame);
        let text = |name| fields.find(name).unwrap_or_default().into_owned();
        Some(PopRequest {
            group: text("consumerGroup"),
            topic: text("topic"),
            broker: match &self.answered_by {
                Some(broker) => broker.to_string(),
                None => text("bname"),
            },
            is_ordered: fields.is_true("order"),
        })
    }
}

/// Codes whose topics and groups stand in the body.
fn has_names_in_body(code: Code) -> bool {
    matches!(
        code,
        rq::HEART_BEAT
            | rq::LOCK_BATCH_MQ
            | rq::UNLOCK_BATCH_MQ
            | rq::CHECK_CLIENT_CONFIG
            | rq::QUERY_ASSIGNMENT
            | rq::BATCH_ACK_MESSAGE
    )
}
