//! Request and response codes that filters name, spelled as in RocketMQ.

use crate::Code;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: Code = $value;)*
    };
}

codes! {
    /// A send with the long header; what Go clients write.
    SEND_MESSAGE = 10;
    /// A pull.
    PULL_MESSAGE = 11;
    /// A search by key.
    QUERY_MESSAGE = 12;
    /// Commits an offset; usually one-way.
    UPDATE_CONSUMER_OFFSET = 15;
    /// One message by its offset id.
    VIEW_MESSAGE_BY_ID = 33;
    /// A heartbeat: which groups a client is in, and what they subscribe to.
    HEART_BEAT = 34;
    /// A producer or consumer leaves.
    UNREGISTER_CLIENT = 35;
    /// A consumer hands a message back, to get it again later.
    CONSUMER_SEND_MSG_BACK = 36;
    /// Commits or rolls back a half message; one-way.
    END_TRANSACTION = 37;
    /// Who else is in a group.
    GET_CONSUMER_LIST_BY_GROUP = 38;
    /// A broker asks what became of a half message; one-way, from the broker.
    CHECK_TRANSACTION_STATE = 39;
    /// Locks queues for ordered consumption.
    LOCK_BATCH_MQ = 41;
    /// Unlocks them.
    UNLOCK_BATCH_MQ = 42;
    /// A topic's route.
    GET_ROUTEINFO_BY_TOPIC = 105;
    /// A broker hands its client a message to consume at once; from the broker.
    CONSUME_MESSAGE_DIRECTLY = 309;
    /// A send with the short header; what Java clients write.
    SEND_MESSAGE_V2 = 310;
    /// A send of several messages in one body.
    SEND_BATCH_MESSAGE = 320;
    /// A reply of request-reply, long header.
    SEND_REPLY_MESSAGE = 324;
    /// A reply of request-reply, short header.
    SEND_REPLY_MESSAGE_V2 = 325;
    /// A reply on its way to who asked; from the broker.
    PUSH_REPLY_MESSAGE_TO_CLIENT = 326;
    /// A pull of a lite pull consumer.
    LITE_PULL_MESSAGE = 361;
    /// Asks the broker which queues to consume.
    QUERY_ASSIGNMENT = 400;
    /// A pop.
    POP_MESSAGE = 200_050;
    /// A look at messages without taking them.
    PEEK_MESSAGE = 200_052;
    /// Several acknowledgements in one body.
    BATCH_ACK_MESSAGE = 200_151;

    /// Response: done.
    SUCCESS = 0;
    /// Response: error. Java producers try another broker.
    SYSTEM_ERROR = 1;
    /// Response: the message is not acceptable. Producers do not try again.
    MESSAGE_ILLEGAL = 13;
    /// Response: not allowed. Producers try another broker.
    NO_PERMISSION = 16;
    /// Response: too fast. Producers do not try again; consumers ask again after 20 ms, so it is for sends alone.
    FLOW_CONTROL = 215;
}

/// Every code that sends messages.
pub const SENDS: [Code; 5] = [
    SEND_MESSAGE,
    SEND_MESSAGE_V2,
    SEND_BATCH_MESSAGE,
    SEND_REPLY_MESSAGE,
    SEND_REPLY_MESSAGE_V2,
];

/// Every code that fetches messages in the course of consuming.
pub const FETCHES: [Code; 4] = [PULL_MESSAGE, LITE_PULL_MESSAGE, POP_MESSAGE, PEEK_MESSAGE];

/// Every code whose response brings messages to a client.
pub const DELIVERIES: [Code; 6] = [
    PULL_MESSAGE,
    LITE_PULL_MESSAGE,
    POP_MESSAGE,
    PEEK_MESSAGE,
    QUERY_MESSAGE,
    VIEW_MESSAGE_BY_ID,
];

/// Every request by which a broker brings a message to its client. They must be named in an interest.
pub const PUSHES: [Code; 3] = [
    CHECK_TRANSACTION_STATE,
    CONSUME_MESSAGE_DIRECTLY,
    PUSH_REPLY_MESSAGE_TO_CLIENT,
];
