//! What guests may ask for: one file for each interface of `wit/host.wit`.
//!
//! A function that is called outside of `on-request` and `on-response` gives nothing and changes nothing. Errors of the
//! engine's type end the call: they are for what no guest does that means well.

mod client;
mod clock;
mod command;
mod limit;
mod log;
mod messages;
mod metrics;
mod names;
mod random;
mod stdio;
mod store;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::gimbal::filter as bound;
use super::ctx::Ctx;

impl bound::types::Host for Ctx {}

/// Lets guests call one interface; whether there is one of that name.
pub(super) fn link(linker: &mut Linker<Ctx>, interface: &str) -> Result<bool> {
    match interface {
        "command" => bound::command::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "messages" => bound::messages::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "names" => bound::names::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "client" => bound::client::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "store" => bound::store::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "limit" => bound::limit::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "log" => bound::log::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "metrics" => bound::metrics::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "clock" => bound::clock::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        "random" => bound::random::add_to_linker::<_, HasSelf<Ctx>>(linker, |ctx| ctx)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Lets the adapter for standard streams call the host.
pub(super) fn link_stdio(linker: &mut Linker<Ctx>, interface: &str) -> Result<()> {
    stdio::link(linker, interface)
}

/// A count as guests see it.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// An index as the host sees it; one that does not fit is out of range anyway.
fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
