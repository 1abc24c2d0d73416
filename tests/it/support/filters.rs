//! Filters made of closures, and a proxy whose chain a test swaps under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use gimbal::filter::folder::InForce;
use gimbal::filter::{
    Chain, Counters, Failure, Filter, Hook, Hooks, Interest, Member, Mode, Patterns, Policy, Scope, Subject,
    Verdict,
};
use gimbal::protocol::{Code, Command, FRAME_LIMIT, Frame};
use gimbal::proxy::Proxy;

use super::client::{Client, Speaks};
use super::nameserver::NameServer;
use super::peer::{Broker, Peer};
use super::proxy::{Gimbal, Running};

type Hooked = Box<dyn Fn(&mut Subject) -> Result<Verdict, Failure> + Send + Sync>;

/// A filter made of closures; it has the functions that were given.
#[derive(Default)]
pub(crate) struct Script {
    interests: Vec<Interest>,
    request: Option<Hooked>,
    response: Option<Hooked>,
    connect: Option<Hooked>,
    disconnect: Option<Hooked>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("interests", &self.interests)
            .finish_non_exhaustive()
    }
}

/// Everything about these codes, both ways, with bodies.
pub(crate) fn interest(codes: &[Code]) -> Interest {
    Interest {
        codes: codes.to_vec(),
        requests: true,
        responses: true,
        topics: Patterns::default(),
        groups: Patterns::default(),
        needs_body: true,
    }
}

impl Script {
    /// Sees these codes, both ways, with bodies; none are all that clients send.
    pub(crate) fn of(codes: &[Code]) -> Self {
        Self::wanting(vec![interest(codes)])
    }

    pub(crate) fn wanting(interests: Vec<Interest>) -> Self {
        Self {
            interests,
            ..Self::default()
        }
    }

    pub(crate) fn on_request(
        mut self,
        hook: impl Fn(&mut Subject) -> Result<Verdict, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.request = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_response(
        mut self,
        hook: impl Fn(&mut Subject) -> Result<Verdict, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.response = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_connect(
        mut self,
        hook: impl Fn(&mut Subject) -> Result<Verdict, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.connect = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_disconnect(
        mut self,
        hook: impl Fn(&mut Subject) -> Result<Verdict, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.disconnect = Some(Box::new(hook));
        self
    }

    /// Its requests always get this verdict.
    pub(crate) fn always(self, verdict: Verdict) -> Self {
        self.on_request(move |_| Ok(verdict.clone()))
    }

    /// A member of a chain: in force, failing closed, for everybody. Every call makes a new version.
    pub(crate) fn member(self, name: &str) -> Member {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Member {
            name: name.into(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            filter: Arc::new(self),
            scope: Scope::default(),
            mode: Mode::Enforce,
            policy: Policy::Closed,
            counters: Arc::default(),
        }
    }

    /// A chain of this one filter.
    pub(crate) fn alone(self) -> Vec<Member> {
        vec![self.member("only")]
    }
}

impl Filter for Script {
    fn interests(&self) -> &[Interest] {
        &self.interests
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            requests: self.request.is_some(),
            responses: self.response.is_some(),
            connections: self.connect.is_some() || self.disconnect.is_some(),
        }
    }

    fn call(&self, hook: Hook, mut subject: Box<Subject>) -> (Box<Subject>, Result<Verdict, Failure>) {
        let hooked = match hook {
            Hook::Request => &self.request,
            Hook::Response => &self.response,
            Hook::Connect => &self.connect,
            Hook::Disconnect => &self.disconnect,
        };
        let answer = hooked
            .as_ref()
            .map_or(Ok(Verdict::Forward), |hooked| hooked(&mut subject));
        (subject, answer)
    }
}

/// The same member with a change.
pub(crate) fn with(mut member: Member, change: impl FnOnce(&mut Member)) -> Member {
    change(&mut member);
    member
}

/// The same member again, as a later chain has it when nothing was changed about it.
pub(crate) fn same(member: &Member) -> Member {
    Member {
        name: Arc::clone(&member.name),
        id: member.id,
        filter: Arc::clone(&member.filter),
        scope: member.scope.clone(),
        mode: member.mode,
        policy: member.policy,
        counters: Arc::<Counters>::clone(&member.counters),
    }
}

/// A proxy with filters before two brokers `a` and `b`, both with the topic `T`.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) a: Broker,
    pub(crate) b: Broker,
    pub(crate) ns: NameServer,
    pub(crate) running: Running,
}

impl Stage {
    pub(crate) async fn with(members: Vec<Member>) -> Self {
        Self::set(members, |gimbal| gimbal).await
    }

    /// The same with other settings.
    pub(crate) async fn set(members: Vec<Member>, change: impl FnOnce(Gimbal) -> Gimbal) -> Self {
        let (a, b) = (Broker::start("a"), Broker::start("b"));
        let ns = NameServer::knowing(&[&a, &b]).await;
        let in_force = InForce::fixed(Chain::new(1, members));
        let proxy = Proxy::start_with(change(Gimbal::before(&[&ns])).config, in_force).unwrap();
        let address = proxy.addresses()[0].1;
        Self {
            a,
            b,
            ns,
            running: Running { proxy, address },
        }
    }

    /// Puts another chain in force.
    pub(crate) fn swap(&self, members: Vec<Member>) {
        let in_force = self.running.proxy.filters();
        in_force.put(Chain::new(in_force.chain().generation() + 1, members));
    }

    /// A Java client that names brokers.
    pub(crate) async fn client(&self) -> Client {
        self.running.client().await
    }

    pub(crate) async fn client_that(&self, speaks: Speaks) -> Client {
        self.running.client_that(speaks).await
    }

    /// A client and its link to broker `a`, in use already.
    pub(crate) async fn linked(&self) -> (Client, Peer) {
        self.linked_that(Speaks::NAMED).await
    }

    pub(crate) async fn linked_that(&self, speaks: Speaks) -> (Client, Peer) {
        use gimbal::protocol::{request, response};
        let mut client = self.client_that(speaks).await;
        let asked = client
            .ask(request::GET_MIN_OFFSET, &[("bname", "a"), ("topic", "first")])
            .await;
        let mut link = self.a.accept().await;
        let first = link.expect(request::GET_MIN_OFFSET).await;
        link.answer(&first, response::SUCCESS).await;
        client.answer(asked).await;
        (client, link)
    }
}

/// A command that a real peer wrote: a file of `tests/fixtures`, without its ending.
pub(crate) fn recorded(path: &str) -> Command {
    let path = format!("{}/tests/fixtures/{path}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (_about, digits) = text.split_once('\n').unwrap();
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let mut bytes: BytesMut = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let frame = Frame::split(&mut bytes, FRAME_LIMIT).unwrap().unwrap();
    Command::decode(&frame).unwrap()
}
