//! What a filter hook costs: nanoseconds for each command, by what the filter does.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use gimbal::filter::{
    Budget, Chain, Client, Counters, Loader, Member, Mode, Outcome, Phase, Policy, Scope, Source, State,
    Subject, Way,
};
use gimbal::protocol::{Code, Command, Frame, Head};
use gimbal::wasm::Host;

use super::{time, wire};

/// A real send, with this code.
fn send(code: i32) -> (Head, Frame) {
    let frame = wire::real(wire::JSON_SEND);
    let mut command = Command::decode(&frame).unwrap();
    command.code = Code(code);
    command.set_field("topic", "orders.created.eu-1");
    let frame = command.encode().unwrap();
    (Head::scan(&frame).unwrap(), frame)
}

fn chain(host: &Host, bytes: &[u8], config: &serde_json::Value, members: u64) -> Chain {
    let member = |id| {
        let source = Source {
            name: "bench".into(),
            bytes: bytes.to_vec().into(),
            config: config.clone(),
            budget: Budget::default(),
            grants: None,
            state: Arc::new(State::default()),
        };
        Member {
            name: "bench".into(),
            id,
            filter: host.load(source).unwrap().filter,
            scope: Scope::default(),
            mode: Mode::Enforce,
            policy: Policy::Closed,
            counters: Arc::new(Counters::default()),
        }
    };
    Chain::new(1, (0..members).map(member).collect())
}

/// A filter of a few KB.
pub(crate) fn guest() -> Vec<u8> {
    let prelude = include_str!("../../fixtures/guests/prelude.wat");
    let text = include_str!("../../fixtures/guests/hook.wat").replace(";; prelude", prelude);
    wat::parse_str(text).unwrap()
}

/// Prints the table.
pub(crate) fn run() {
    let host = Host::new(None).unwrap();
    let hook = guest();
    let none = serde_json::json!({});
    let client = Arc::new(Client::new(
        SocketAddr::from(([10, 0, 0, 1], 5_000)),
        "main".into(),
        1,
    ));
    let subject = |(head, frame): &(Head, Frame)| {
        Box::new(Subject::request(
            Way::Request,
            head.clone(),
            frame.clone(),
            Arc::clone(&client),
        ))
    };
    let decide = |chain: &Chain, command: &(Head, Frame)| match chain.decide(subject(command), 0) {
        Outcome::Forward(subject) => drop(black_box(subject)),
        outcome => drop(black_box(outcome)),
    };

    super::heading("a filter's hook, ns for each command");
    let one = chain(&host, &hook, &none, 1);
    let read = send(310);
    time("nobody wants it", || {
        black_box(one.wants(Phase::Request, Code(310), true));
    });
    time("the command under decision is made and dropped", || {
        drop(black_box(subject(&read)));
    });
    let nothing = send(37);
    time("one filter that does nothing", || decide(&one, &nothing));
    time("one filter, two strings read", || decide(&one, &read));
    let patched = send(320);
    time("one filter, two strings read and one set", || {
        decide(&one, &patched);
    });
    for members in [3, 10] {
        let chain = chain(&host, &hook, &none, members);
        time(&format!("{members} filters, two strings read by each"), || {
            decide(&chain, &read);
        });
    }
    let acl = serde_json::json!({"default": "allow", "rules": [
        {"effect": "deny", "topics": ["payroll*"]}, {"effect": "deny", "users": ["guest"], "topics": ["orders*"]}]});
    let acl = chain(&host, include_bytes!("../../../filters/acl/acl.wasm"), &acl, 1);
    time("acl with two rules", || decide(&acl, &read));
    let limit =
        serde_json::json!({"rules": [{"direction": "send", "per": ["topic"], "messages_per_second": 1e9}]});
    let limit = chain(
        &host,
        include_bytes!("../../../filters/rate-limit/rate-limit.wasm"),
        &limit,
        1,
    );
    time("rate-limit with one rule", || decide(&limit, &read));
}
