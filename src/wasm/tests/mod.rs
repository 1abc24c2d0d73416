//! Guests written as text, through loading and calls.

mod calls;
mod reading;
mod refused;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Host;
use crate::filter::{
    Budget, Client, Failure, Filter, Hook, LoadError, Loaded, Loader, Source, State, Subject, Verdict, Way,
};
use crate::protocol::{Code, Command, FLAG_ONEWAY, Head};

const PRELUDE: &str = include_str!("../../../tests/fixtures/guests/prelude.wat");

/// The bytes of a text guest.
pub(super) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text.replace(";; prelude", PRELUDE)).unwrap()
}

/// The bytes with one more section.
pub(super) fn with_section(mut wasm: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    use wasm_encoder::{Encode, Section};
    let section = wasm_encoder::CustomSection {
        name: name.into(),
        data: data.into(),
    };
    wasm.push(section.id());
    section.encode(&mut wasm);
    wasm
}

fn with_manifest(wasm: Vec<u8>, manifest: &Value) -> Vec<u8> {
    with_section(wasm, "gimbal:manifest", manifest.to_string().as_bytes())
}

fn host() -> &'static Host {
    static HOST: std::sync::OnceLock<Host> = std::sync::OnceLock::new();
    HOST.get_or_init(|| Host::new(None).unwrap())
}

fn source(bytes: Vec<u8>) -> Source {
    Source {
        name: "under-test".into(),
        bytes: bytes.into(),
        config: json!({}),
        budget: Budget {
            // Tests run beside others on a busy machine.
            time: Duration::from_millis(100),
            memory: 4 << 20,
            ..Budget::default()
        },
        grants: None,
        state: Arc::new(State::default()),
    }
}

fn load(text: &str) -> Result<Loaded, LoadError> {
    host().load(source(wasm(text)))
}

/// What is wrong with a guest, as the operator reads it.
fn refused(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

fn command(code: i32, flag: i32) -> Box<Subject> {
    let mut command = Command::request(Code(code), 7).with_field("topic", "T");
    command.flag |= flag;
    let frame = command.encode().unwrap();
    let head = Head::scan(&frame).unwrap();
    let client = Client::new(SocketAddr::from(([10, 0, 0, 1], 5000)), "inside".into(), 3);
    Box::new(Subject::request(Way::Request, head, frame, Arc::new(client)))
}

fn ask(filter: &Arc<dyn Filter>, code: i32) -> (Box<Subject>, Result<Verdict, Failure>) {
    filter.call(Hook::Request, command(code, 0))
}

fn ask_oneway(filter: &Arc<dyn Filter>, code: i32) -> Result<Verdict, Failure> {
    filter.call(Hook::Request, command(code, FLAG_ONEWAY)).1
}
