//! The command under decision.

use crate::host::command as host;
use crate::{Access, Client, Code, Messages, Names};

/// The command under decision: in `on_request` the request, in `on_response` the response. It is there only while the
/// hook runs. What is set is seen by later getters and later filters.
///
/// A getter costs a call to the host (about 0.1 µs each): ask for what is needed, and ask once.
#[derive(Debug)]
pub struct Command(());

impl Command {
    #[doc(hidden)]
    pub fn current() -> Self {
        Self(())
    }

    /// The client at the other end.
    pub fn client(&self) -> Client {
        Client::current()
    }

    /// The user messages inside. Needs an interest [`with_body`](crate::Interest::with_body).
    pub fn messages(&self) -> Messages {
        Messages::current()
    }

    /// The mapping of topics and groups of this connection.
    pub fn names(&self) -> Names {
        Names::current()
    }

    /// The request code in `on_request`, the response code in `on_response`.
    pub fn code(&self) -> Code {
        host::code()
    }

    /// The request code, in both.
    pub fn request_code(&self) -> Code {
        host::request_code()
    }

    /// The client's correlation number.
    pub fn opaque(&self) -> i32 {
        host::opaque()
    }

    /// Whether nobody waits for an answer; then `answer` is an impossible verdict, and `drop` a possible one.
    pub fn is_oneway(&self) -> bool {
        host::is_oneway()
    }

    /// Whether a broker sent the request to its client.
    pub fn is_from_broker(&self) -> bool {
        host::is_from_broker()
    }

    /// The sender's language as in the header: `JAVA`, `GO`, `CPP` ...
    pub fn language(&self) -> String {
        host::language()
    }

    /// The sender's version ordinal: 399 is 4.9.3, 477 is 5.3.2, 317 every Go client.
    pub fn version(&self) -> i32 {
        host::version()
    }

    /// Human text of a response.
    pub fn remark(&self) -> Option<String> {
        host::remark()
    }

    /// Sets it.
    pub fn set_remark(&self, remark: &str) {
        host::set_remark(remark);
    }

    /// An ext field by its name on the wire. Sends differ in these names: prefer [`topic`](Self::topic),
    /// [`group`](Self::group), [`queue_id`](Self::queue_id) and [`broker`](Self::broker).
    pub fn field(&self, name: &str) -> Option<String> {
        host::field(name)
    }

    /// Every ext field, in order.
    pub fn fields(&self) -> Vec<(String, String)> {
        host::fields()
    }

    /// Sets an ext field. On a signed command that cannot be signed again it counts as a failure of the filter.
    pub fn set_field(&self, name: &str, value: &str) {
        host::set_field(name, value);
    }

    /// Removes an ext field; whether it was there.
    #[expect(clippy::must_use_candidate, reason = "removing is the point")]
    pub fn remove_field(&self, name: &str) -> bool {
        host::remove_field(name)
    }

    /// An ext field of the request, in both phases.
    pub fn request_field(&self, name: &str) -> Option<String> {
        host::request_field(name)
    }

    /// The topic of the request, whichever field or body holds it.
    pub fn topic(&self) -> Option<String> {
        host::topic()
    }

    /// The group of the request: of a send the producer group, else the consumer group.
    pub fn group(&self) -> Option<String> {
        host::group()
    }

    /// The queue of the request; negative lets the broker choose.
    pub fn queue_id(&self) -> Option<i32> {
        host::queue_id()
    }

    /// The broker that the request names.
    pub fn broker(&self) -> Option<String> {
        host::broker()
    }

    /// Every topic and group that the request touches, and how: what an access list should judge.
    pub fn accesses(&self) -> Vec<Access> {
        host::accesses()
    }

    /// Takes a consumer group out of a heartbeat, so that its client does not become a member; whether it was there.
    pub fn remove_group(&self, group: &str) -> bool {
        host::remove_group(group)
    }

    /// Bytes of the body. Needs no interest with body.
    pub fn body_size(&self) -> u32 {
        host::body_size()
    }

    /// The body as it travels. For user messages use [`messages`](Self::messages), which knows their encoding.
    pub fn body(&self) -> Vec<u8> {
        host::body()
    }

    /// Up to `length` bytes of the body from `offset`.
    pub fn body_range(&self, offset: u32, length: u32) -> Vec<u8> {
        host::body_range(offset, length)
    }

    /// Replaces the body.
    pub fn set_body(&self, body: &[u8]) {
        host::set_body(body);
    }

    /// The longest `delay` in milliseconds that still leaves the broker its time; 0 where nothing may be held.
    pub fn max_delay(&self) -> u32 {
        host::max_delay()
    }

    /// Whether the client signed the request.
    pub fn signed(&self) -> bool {
        host::signed()
    }
}
