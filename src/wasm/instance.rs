//! One instance of a guest: made, initialised, called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::exports::gimbal::filter::{connections, lifecycle, requests, responses};
use super::bindings::gimbal::filter::types;
use super::ctx::{Ctx, Shared};
use super::failing;
use super::ticker::Ticker;
use super::words::Stream;
use crate::filter::{Answer, Budget, Client, Failure, Hook, Hooks, Subject, Verdict};
use crate::protocol::Code;

/// Bytes that one call between guest and host may carry: a body, a list of properties.
const CARRIED: usize = 64 << 20;

/// What it takes to make instances of one filter.
pub(super) struct Plan {
    pub(super) pre: InstancePre<Ctx>,
    pub(super) exports: Exports,
    pub(super) shared: Arc<Shared>,
    pub(super) config: String,
    pub(super) budget: Budget,
    pub(super) ticker: Arc<Ticker>,
    /// Whether the engine counts fuel.
    pub(super) is_metered: bool,
}

/// Where a component keeps the functions that it has.
pub(super) struct Exports {
    pub(super) lifecycle: lifecycle::GuestIndices,
    pub(super) requests: Option<requests::GuestIndices>,
    pub(super) responses: Option<responses::GuestIndices>,
    pub(super) connections: Option<connections::GuestIndices>,
}

impl Exports {
    pub(super) fn hooks(&self) -> Hooks {
        Hooks {
            requests: self.requests.is_some(),
            responses: self.responses.is_some(),
            connections: self.connections.is_some(),
        }
    }
}

/// An instance that has been initialised.
pub(super) struct Instance {
    store: Store<Ctx>,
    requests: Option<requests::Guest>,
    responses: Option<responses::Guest>,
    connections: Option<connections::Guest>,
    /// The deadline of a call, in ticks.
    ticks: u64,
}

/// Why there is no instance.
pub(super) enum Stillborn {
    /// It could not be instantiated.
    Instantiate(Failure),
    /// `init` did not come to an end.
    Init(Failure),
    /// `init` refused; its text.
    Refused(String),
}

impl Plan {
    /// A new instance, and what it wants to see. The guest's own start and `init` have `time` each.
    pub(super) fn make(&self, time: Duration) -> Result<(Instance, Vec<types::Interest>), Stillborn> {
        let Budget { memory, .. } = self.budget;
        let engine = self.pre.engine();
        let mut store = Store::new(engine, Ctx::new(Arc::clone(&self.shared), memory));
        store.limiter(|ctx| &mut ctx.meter);
        store.set_hostcall_fuel(CARRIED);
        let ticker = Arc::clone(&self.ticker);
        store.epoch_deadline_callback(move |mut ctx| {
            // The call goes on longer than the clock was told.
            ticker.begin();
            Ok(ctx.data_mut().allowance.is_over())
        });
        fill(&mut store, self.is_metered);
        allow(&mut store, time, &self.ticker);
        let why =
            |error: &wasmtime::Error, store: &Store<Ctx>| failing::failure(error, store.data(), time, memory);
        let made = self.pre.instantiate(&mut store);
        let instance = match made {
            Ok(instance) => instance,
            Err(error) => {
                finish_lines(store.data_mut());
                return Err(Stillborn::Instantiate(why(&error, &store)));
            }
        };
        let found = self.load(&mut store, &instance);
        let (lifecycle, mut instance) = match found {
            Ok((lifecycle, hooks)) => (lifecycle, hooks.with(store, self.ticker.ticks(self.budget.time))),
            Err(error) => {
                return Err(Stillborn::Instantiate(Failure::Trap(
                    error.root_cause().to_string(),
                )));
            }
        };
        let store = &mut instance.store;
        store.data_mut().begin(None);
        allow(store, time, &self.ticker);
        match lifecycle.call_init(&mut *store, &self.config) {
            Ok(Ok(interests)) => Ok((instance, interests)),
            Ok(Err(text)) => Err(Stillborn::Refused(text)),
            Err(error) => {
                finish_lines(store.data_mut());
                Err(Stillborn::Init(why(&error, store)))
            }
        }
    }

    fn load(
        &self,
        store: &mut Store<Ctx>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<(lifecycle::Guest, Hooked)> {
        let exports = &self.exports;
        let lifecycle = exports.lifecycle.load(&mut *store, instance)?;
        let requests = exports.requests.as_ref();
        let responses = exports.responses.as_ref();
        let connections = exports.connections.as_ref();
        let hooked = Hooked {
            requests: requests.map(|at| at.load(&mut *store, instance)).transpose()?,
            responses: responses.map(|at| at.load(&mut *store, instance)).transpose()?,
            connections: connections.map(|at| at.load(&mut *store, instance)).transpose()?,
        };
        Ok((lifecycle, hooked))
    }
}

/// Fills the tank of an engine that counts fuel, so that a call never runs out of it.
fn fill(store: &mut Store<Ctx>, is_metered: bool) {
    if is_metered {
        // It fails only where fuel is not counted.
        drop(store.set_fuel(u64::MAX));
    }
}

/// Fuel used since it was filled.
fn burnt(store: &Store<Ctx>) -> u64 {
    store.get_fuel().map_or(0, |left| u64::MAX.saturating_sub(left))
}

/// Gives the next call this much time.
fn allow(store: &mut Store<Ctx>, time: Duration, ticker: &Ticker) {
    let ticks = ticker.ticks(time);
    store.data_mut().allowance.begin(time, ticks);
    store.set_epoch_deadline(ticks);
    ticker.begin();
}

/// The functions of an instance.
struct Hooked {
    requests: Option<requests::Guest>,
    responses: Option<responses::Guest>,
    connections: Option<connections::Guest>,
}

impl Hooked {
    fn with(self, store: Store<Ctx>, ticks: u64) -> Instance {
        Instance {
            store,
            requests: self.requests,
            responses: self.responses,
            connections: self.connections,
            ticks,
        }
    }
}

impl Instance {
    /// Calls one function about a subject. After an error from the engine the instance is dead.
    pub(super) fn call(
        &mut self,
        plan: &Plan,
        hook: Hook,
        subject: Box<Subject>,
    ) -> (Box<Subject>, Result<Verdict, Failure>, Health) {
        let (request, own) = (subject.request_code().0, subject.code().0);
        self.store.data_mut().begin(Some(subject));
        self.store
            .data_mut()
            .allowance
            .begin(plan.budget.time, self.ticks);
        self.store.set_epoch_deadline(self.ticks);
        plan.ticker.begin();
        fill(&mut self.store, plan.is_metered);
        let answered = self.run(hook, request, own);
        let burnt = plan.is_metered.then(|| burnt(&self.store));
        let ctx = self.store.data_mut();
        let outcome = match answered {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(failure)) => Err(failure),
            Err(error) => {
                finish_lines(ctx);
                let Budget { time, memory, .. } = plan.budget;
                Err(failing::failure(&error, ctx, time, memory))
            }
        };
        let health = if outcome.is_ok() {
            Health::Alive
        } else {
            Health::Dead
        };
        let outcome = match ctx.unreadable.take() {
            Some(why) if matches!(outcome, Ok(_) | Err(Failure::Trap(_))) => Err(Failure::Unreadable(why)),
            _ => outcome,
        };
        let memory = ctx.meter.used();
        match ctx.subject.take() {
            Some(mut subject) => {
                subject.note_use(burnt, memory);
                let outcome = outcome.map_err(|failure| cause(failure, &subject));
                (subject, outcome, health)
            }
            // Nothing takes the subject out but this.
            None => (Box::new(nobody()), outcome, Health::Dead),
        }
    }

    fn run(&mut self, hook: Hook, request: i32, own: i32) -> wasmtime::Result<Result<Verdict, Failure>> {
        let store = &mut self.store;
        let missing = |interface| Ok(Err(Failure::Trap(format!("it does not export `{interface}`"))));
        match hook {
            Hook::Request => match &self.requests {
                Some(guest) => guest.call_on_request(store, request).map(verdict).map(Ok),
                None => missing("requests"),
            },
            Hook::Response => match &self.responses {
                Some(guest) => guest.call_on_response(store, request, own).map(verdict).map(Ok),
                None => missing("responses"),
            },
            Hook::Connect => match &self.connections {
                Some(guest) => guest.call_on_connect(store).map(|answer| {
                    Ok(match answer {
                        Ok(()) => Verdict::Forward,
                        Err(reason) => Verdict::Close(reason),
                    })
                }),
                None => missing("connections"),
            },
            Hook::Disconnect => match &self.connections {
                Some(guest) => guest.call_on_disconnect(store).map(|()| Ok(Verdict::Forward)),
                None => missing("connections"),
            },
        }
    }
}

/// What lies behind a failure: a guest that stops because the host refused it something did not stop without a reason.
fn cause(failure: Failure, subject: &Subject) -> Failure {
    match failure {
        Failure::Trap(_) | Failure::Unreadable(_) => subject.breach().cloned().unwrap_or(failure),
        failure => failure,
    }
}

/// No command, and nobody at the other end.
fn nobody() -> Subject {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Subject::connection(Arc::new(Client::new(nowhere, "".into(), 0)))
}

/// Whether an instance may be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Alive,
    Dead,
}

/// Nothing will finish the lines that it began.
fn finish_lines(ctx: &mut Ctx) {
    for (stream, level) in [
        (Stream::Out, types::Level::Info),
        (Stream::Error, types::Level::Error),
    ] {
        if let Some(rest) = ctx.words.rest(stream) {
            ctx.say(level, &rest);
        }
    }
}

fn verdict(given: types::Verdict) -> Verdict {
    match given {
        types::Verdict::Forward => Verdict::Forward,
        types::Verdict::Answer(answer) => Verdict::Answer(Answer {
            code: Code(answer.code),
            remark: answer.remark,
            fields: answer.fields,
            body: answer.body.into(),
        }),
        types::Verdict::Delay(ms) => Verdict::Delay(Duration::from_millis(ms.into())),
        types::Verdict::Drop => Verdict::Drop,
        types::Verdict::Close(reason) => Verdict::Close(reason),
    }
}
