//! Which commands carry messages, and where in them the messages stand.

use std::borrow::Cow;

use bytes::Bytes;

use crate::filter::Way;
use crate::protocol::{Code, Command, Fields, Frame, request, response};

/// What messages are read from.
pub trait Source {
    /// The code of the command.
    fn code(&self) -> Code;
    /// The value of an ext field.
    fn field(&self, name: &str) -> Option<Cow<'_, str>>;
    /// The body.
    fn body(&self) -> Bytes;
}

impl Source for Command {
    fn code(&self) -> Code {
        self.code
    }

    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        Self::field(self, name).map(Cow::Borrowed)
    }

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// A command that need not be decoded for it: its code, its ext fields, its frame.
impl Source for (Code, Fields<'_>, &Frame) {
    fn code(&self) -> Code {
        self.0
    }

    fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.1.find(name)
    }

    fn body(&self) -> Bytes {
        self.2.body_bytes()
    }
}

/// What kind of command carries the messages.
#[derive(Debug, Clone)]
pub(super) enum Carrier {
    /// One message: its body is the command's, the rest stands in ext fields.
    Send(Header),
    /// One message, as in a send, on its way to a client.
    Reply(Header),
    /// Several messages in the body, which share the ext fields.
    Batch(Header),
    /// Stored messages, one after the other.
    Stored(Answer),
}

/// What stored messages answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Pull,
    Pop,
    Peek,
    Query,
    View,
    /// They answer nothing: a broker pushed them.
    Push,
}

/// Names of the ext fields of a send.
#[derive(Debug)]
struct Names {
    topic: &'static str,
    sys_flag: &'static str,
    born_timestamp: &'static str,
    properties: &'static str,
    reconsume_times: &'static str,
    batch: &'static str,
}

const LONG: Names = Names {
    topic: "topic",
    sys_flag: "sysFlag",
    born_timestamp: "bornTimestamp",
    properties: "properties",
    reconsume_times: "reconsumeTimes",
    batch: "batch",
};
const SHORT: Names = Names {
    topic: "b",
    sys_flag: "f",
    born_timestamp: "g",
    properties: "i",
    reconsume_times: "j",
    batch: "m",
};

/// What the ext fields of a send tell about its messages.
#[derive(Debug, Clone)]
pub(super) struct Header {
    names: &'static Names,
    pub(super) topic: Option<String>,
    pub(super) sys_flag: i32,
    pub(super) born_timestamp: i64,
    pub(super) reconsume_times: i32,
}

impl Header {
    fn read(command: &impl Source, names: &'static Names) -> Self {
        fn number<T: std::str::FromStr + Default>(command: &impl Source, name: &str) -> T {
            command
                .field(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default()
        }
        Self {
            names,
            topic: command.field(names.topic).map(Cow::into_owned),
            sys_flag: number(command, names.sys_flag),
            born_timestamp: number(command, names.born_timestamp),
            reconsume_times: number(command, names.reconsume_times),
        }
    }

    /// The property string of a single message.
    pub(super) fn properties(command: &impl Source, header: &Self) -> String {
        let properties = command.field(header.names.properties);
        properties.unwrap_or_default().into_owned()
    }

    /// The ext field of the property string.
    pub(super) fn properties_name(&self) -> &'static str {
        self.names.properties
    }

    /// Sets the property string of a single message.
    pub(super) fn set_properties(&self, command: &mut Command, text: &str) {
        if text.is_empty() {
            command.remove_field(self.names.properties);
        } else {
            command.set_field(self.names.properties, text);
        }
    }
}

impl Carrier {
    /// How `command` carries messages, if it does; `code` is the code of the request.
    pub(super) fn of(way: Way, code: Code, command: &impl Source) -> Option<Self> {
        match way {
            Way::Request => Self::of_request(code, command),
            Way::Response if command.code() == response::SUCCESS => Self::of_answer(code),
            Way::Response | Way::PushResponse | Way::Connection => None,
            Way::Push => match code {
                request::CHECK_TRANSACTION_STATE | request::CONSUME_MESSAGE_DIRECTLY => {
                    Some(Self::Stored(Answer::Push))
                }
                request::PUSH_REPLY_MESSAGE_TO_CLIENT => Some(Self::Reply(Header::read(command, &LONG))),
                _ => None,
            },
        }
    }

    fn of_request(code: Code, command: &impl Source) -> Option<Self> {
        let (names, may_be_batch) = match code {
            request::SEND_MESSAGE => (&LONG, true),
            request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => (&SHORT, true),
            // Brokers never look whether a reply is a batch.
            request::SEND_REPLY_MESSAGE => (&LONG, false),
            request::SEND_REPLY_MESSAGE_V2 => (&SHORT, false),
            _ => return None,
        };
        let header = Header::read(command, names);
        let says_batch = command
            .field(names.batch)
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Some(if may_be_batch && says_batch {
            Self::Batch(header)
        } else {
            Self::Send(header)
        })
    }

    fn of_answer(code: Code) -> Option<Self> {
        let answer = match code {
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => Answer::Pull,
            request::POP_MESSAGE => Answer::Pop,
            request::PEEK_MESSAGE => Answer::Peek,
            request::QUERY_MESSAGE => Answer::Query,
            request::VIEW_MESSAGE_BY_ID => Answer::View,
            _ => return None,
        };
        Some(Self::Stored(answer))
    }

    /// What the ext fields tell, where they tell about messages.
    pub(super) fn header(&self) -> Option<&Header> {
        match self {
            Self::Send(header) | Self::Reply(header) | Self::Batch(header) => Some(header),
            Self::Stored(_) => None,
        }
    }
}

impl Answer {
    /// Makes an answer whose messages were all taken out one that clients go on from.
    ///
    /// A success without a body would not do: Java clients of every version wrap the body they do not have, fail, and ask
    /// for the same offset again, for ever. Each of these codes is what brokers say when their own filters let nothing
    /// through, or when there is nothing: a pull goes on at `nextBeginOffset`, which stays, a pop polls again at once.
    pub(super) fn say_nothing_found(self, command: &mut Command) {
        let (code, remark) = match self {
            Self::Pull => (response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
            Self::Pop => (response::POLLING_TIMEOUT, "NO_MATCHED_MESSAGE"),
            Self::Peek => (response::PULL_NOT_FOUND, "NO_MATCHED_MESSAGE"),
            Self::Query => (
                response::QUERY_NOT_FOUND,
                "can not find message, maybe time range not correct",
            ),
            // From these nothing is taken out.
            Self::View | Self::Push => return,
        };
        command.code = code;
        command.remark = Some(remark.into());
    }
}
