//! The order of filters: who is asked about a command, what becomes of their verdicts, and what when one fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::subject::{Subject, Way};
use super::trail::{Decided, Followed, Trail};
use super::{Answer, Counters, Decision, Failure, Filter, Hook, Phase, Policy, Scope, Verdict, Watch};
use crate::protocol::request as rq;
use crate::protocol::{Code, FRAME_LIMIT, Frame, response};

/// Whether a filter's verdicts are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are counted and logged; nothing is changed.
    Shadow,
}

/// A filter in its place.
#[derive(Debug)]
pub struct Member {
    /// Its name: the file name without order number and ending.
    pub name: Arc<str>,
    /// Which loaded version this is; another version has another number.
    pub id: u64,
    /// The filter.
    pub filter: Arc<dyn Filter>,
    /// What the operator lets it see.
    pub scope: Scope,
    /// Whether its verdicts are followed.
    pub mode: Mode,
    /// What its failures do.
    pub policy: Policy,
    /// What is counted about it.
    pub counters: Arc<Counters>,
}

/// The filters in force, in order.
#[derive(Debug, Default)]
pub struct Chain {
    generation: u64,
    members: Vec<Member>,
    requests: Table,
    responses: Table,
}

/// What becomes of a command.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on.
    Forward(Box<Subject>),
    /// It is answered.
    Answer {
        /// The command.
        subject: Box<Subject>,
        /// The answer.
        answer: Answer,
        /// Which member answered: the response hooks of those before it see the answer.
        by: usize,
        /// Whether it did so on its own; otherwise it failed, and its policy says so.
        is_verdict: bool,
    },
    /// It is held.
    Delay {
        /// The command.
        subject: Box<Subject>,
        /// For how long.
        wait: Duration,
        /// Which member is asked next; `None` when the command must be answered "nothing new" after the wait, since it
        /// cannot wait as long as it should.
        next: Option<usize>,
    },
    /// It is forgotten.
    Drop(Box<Subject>),
    /// The connection ends.
    Close {
        /// The command.
        subject: Box<Subject>,
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// What was decided on the way here since this was asked last.
    pub fn take_trail(&mut self) -> Trail {
        self.subject_mut().take_trail()
    }

    /// What was noted of the command since this was asked last, if it is watched.
    pub fn take_watch(&mut self) -> Watch {
        self.subject_mut().take_watch()
    }

    fn subject_mut(&mut self) -> &mut Subject {
        let (Self::Forward(subject)
        | Self::Answer { subject, .. }
        | Self::Delay { subject, .. }
        | Self::Drop(subject)
        | Self::Close { subject, .. }) = self;
        subject
    }
}

/// Which members may want a code.
#[derive(Debug, Default)]
struct Table {
    /// Requests of clients, where some member names the code.
    by_code: HashMap<Code, Box<[usize]>>,
    /// Requests of clients with other codes.
    others: Box<[usize]>,
    /// Requests of brokers.
    pushes: HashMap<Code, Box<[usize]>>,
}

impl Table {
    fn new(members: &[Member], phase: Phase) -> Self {
        let wants = |code, is_push| -> Box<[usize]> {
            let wants = |member: &Member| {
                member.has_hook(phase)
                    && member.scope.has_code(code)
                    && member
                        .filter
                        .interests()
                        .iter()
                        .any(|interest| interest.wants_code(phase, code, is_push))
            };
            let fit = members.iter().enumerate().filter(|(_, member)| wants(member));
            fit.map(|(at, _)| at).collect()
        };
        let interests = members.iter().flat_map(|member| member.filter.interests());
        let named = interests.flat_map(|interest| interest.codes.iter().copied());
        let scoped = members
            .iter()
            .flat_map(|member| member.scope.codes.iter().copied());
        let codes: Vec<Code> = named.chain(scoped).collect();
        Self {
            by_code: codes.iter().map(|code| (*code, wants(*code, false))).collect(),
            // A code that nobody names stands for all of them.
            others: wants(Code(i32::MIN), false),
            pushes: codes.iter().map(|code| (*code, wants(*code, true))).collect(),
        }
    }

    fn of(&self, code: Code, is_push: bool) -> &[usize] {
        if is_push {
            return self.pushes.get(&code).map_or(&[], |members| members);
        }
        self.by_code.get(&code).unwrap_or(&self.others)
    }
}

impl Member {
    fn has_hook(&self, phase: Phase) -> bool {
        let hooks = self.filter.hooks();
        match phase {
            Phase::Request => hooks.requests,
            Phase::Response => hooks.responses,
        }
    }

    /// Whether it wants this very command; `Some(true)` with its body.
    fn wants(&self, phase: Phase, subject: &mut Subject) -> Option<bool> {
        let (code, is_push) = (subject.request_code(), subject.is_push());
        if !self.scope.has_client(subject.client())
            || (self.scope.looks_at_names() && !self.scope.has_names(&subject.facts()))
        {
            return None;
        }
        let mut wanted = None;
        for interest in self.filter.interests() {
            if interest.wants_code(phase, code, is_push)
                && (!interest.looks_at_names() || interest.wants_names(&subject.facts()))
            {
                wanted = Some(wanted.unwrap_or_default() || interest.needs_body);
            }
        }
        wanted
    }
}

impl Chain {
    /// A chain of these members, in this order.
    pub fn new(generation: u64, members: Vec<Member>) -> Self {
        Self {
            generation,
            requests: Table::new(&members, Phase::Request),
            responses: Table::new(&members, Phase::Response),
            members,
        }
    }

    /// Its number; a later chain has a higher one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Its members, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether any member may want commands of this code in this phase.
    pub fn wants(&self, phase: Phase, code: Code, is_push: bool) -> bool {
        let table = match phase {
            Phase::Request => &self.requests,
            Phase::Response => &self.responses,
        };
        !self.members.is_empty() && !table.of(code, is_push).is_empty()
    }

    /// Asks the members from number `from` on about a request.
    pub fn decide(&self, mut subject: Box<Subject>, from: usize) -> Outcome {
        let (code, is_push) = (subject.request_code(), subject.is_push());
        for at in self.requests.of(code, is_push) {
            let Some(member) = self.members.get(*at).filter(|_| *at >= from) else {
                continue;
            };
            let Some(needs_body) = member.wants(Phase::Request, &mut subject) else {
                continue;
            };
            let (back, verdict, has_failed) = member.ask(Hook::Request, subject, needs_body);
            subject = back;
            match verdict {
                Verdict::Forward => {}
                Verdict::Answer(answer) => {
                    return Outcome::Answer {
                        subject,
                        answer,
                        by: *at,
                        is_verdict: !has_failed,
                    };
                }
                Verdict::Delay(wait) => {
                    if let Some((wait, next)) = held(&subject, wait, at.saturating_add(1)) {
                        return Outcome::Delay { subject, wait, next };
                    }
                }
                Verdict::Drop => return Outcome::Drop(subject),
                Verdict::Close(reason) => return Outcome::Close { subject, reason },
            }
        }
        Outcome::Forward(subject)
    }

    /// Asks the members below number `below` about a response, last first. Gives a command to go on or a close.
    pub fn respond(&self, mut subject: Box<Subject>, below: usize) -> Outcome {
        let (code, is_push) = (subject.request_code(), subject.is_push());
        for at in self.responses.of(code, is_push).iter().rev() {
            let Some(member) = self.members.get(*at).filter(|_| *at < below) else {
                continue;
            };
            let Some(needs_body) = member.wants(Phase::Response, &mut subject) else {
                continue;
            };
            let (back, verdict, _) = member.ask(Hook::Response, subject, needs_body);
            subject = back;
            match verdict {
                Verdict::Answer(answer) => {
                    if let Err(why) = subject.replace(&answer) {
                        warn!(
                            filter = &*member.name,
                            error = why,
                            "its answer cannot be written"
                        );
                    }
                }
                Verdict::Close(reason) => return Outcome::Close { subject, reason },
                Verdict::Forward | Verdict::Delay(_) | Verdict::Drop => {}
            }
        }
        Outcome::Forward(subject)
    }

    /// Tells the members that see connections about one, those only that are not among `met`, by their id, and adds
    /// them there. The subject comes back with names as they were mapped, or a reason to close.
    pub fn connect(
        &self,
        mut subject: Box<Subject>,
        met: &mut Vec<u64>,
    ) -> (Box<Subject>, Result<(), String>) {
        for member in &self.members {
            if !member.filter.hooks().connections
                || met.contains(&member.id)
                || !member.scope.has_client(subject.client())
            {
                continue;
            }
            met.push(member.id);
            let (back, verdict, _) = member.ask(Hook::Connect, subject, false);
            subject = back;
            if let Verdict::Close(reason) = verdict {
                return (subject, Err(format!("filter {}: {reason}", member.name)));
            }
        }
        (subject, Ok(()))
    }

    /// Tells the members that saw the connection that it has ended.
    pub fn disconnect(&self, mut subject: Box<Subject>, met: &[u64]) {
        for member in &self.members {
            if member.filter.hooks().connections && met.contains(&member.id) {
                (subject, _, _) = member.ask(Hook::Disconnect, subject, false);
            }
        }
    }
}

impl Member {
    /// Calls the filter and turns whatever it does into a verdict that can be followed; also whether it failed.
    fn ask(&self, hook: Hook, mut subject: Box<Subject>, needs_body: bool) -> (Box<Subject>, Verdict, bool) {
        let before = subject.show(self.id, needs_body);
        let began = Instant::now();
        let (mut subject, answered) = self.filter.call(hook, subject);
        let verdict = answered.and_then(|verdict| {
            subject.settle()?;
            possible(hook, &subject, verdict)
        });
        let took = began.elapsed();
        let code = subject.request_code();
        let is_changed = subject.differs(&before);
        subject.note(self.decided(hook, &verdict, is_changed), took);
        match verdict {
            Ok(verdict) if self.mode == Mode::Shadow => {
                self.counters.decided(&verdict, Decision::Shadowed, took);
                if verdict != Verdict::Forward && self.counters.may_log() {
                    info!(filter = &*self.name, code = code.0, verdict = ?verdict, "shadow: not followed");
                }
                subject.undo(before);
                (subject, Verdict::Forward, false)
            }
            Ok(verdict) => {
                self.counters.decided(&verdict, Decision::Enforced, took);
                if starts_a_storm(&subject, &verdict) && self.counters.may_log() {
                    warn!(
                        filter = &*self.name,
                        code = code.0,
                        "it answers a consumer 215, who asks again after 20 ms; hold the request with delay instead"
                    );
                }
                (subject, verdict, false)
            }
            Err(failure) => {
                self.counters.failed(&failure, took);
                if self.counters.may_log() {
                    warn!(filter = &*self.name, code = code.0, policy = ?self.policy, error = %failure, "a filter failed");
                }
                subject.undo(before);
                let verdict = self.after(hook, &failure, &subject);
                (subject, verdict, true)
            }
        }
    }

    /// What it decided, unless it only let the command pass.
    fn decided(&self, hook: Hook, verdict: &Result<Verdict, Failure>, is_changed: bool) -> Option<Decided> {
        let is_shadow = self.mode == Mode::Shadow;
        let decided = match verdict {
            Ok(verdict) => Decided::of(
                &self.name,
                hook,
                verdict,
                Followed {
                    is_shadow,
                    is_changed,
                },
            )?,
            Err(failure) => Decided::new(&self.name, hook, "failed", Some(failure.to_string())),
        };
        if hook == Hook::Request {
            tracing::debug!(filter = &*self.name, verdict = decided.verdict, "decided");
        }
        Some(decided)
    }

    /// What happens to the command when the filter fails.
    fn after(&self, hook: Hook, failure: &Failure, subject: &Subject) -> Verdict {
        if self.policy == Policy::Open || self.mode == Mode::Shadow || hook == Hook::Disconnect {
            return Verdict::Forward;
        }
        match subject.way() {
            Way::Connection => Verdict::Close(failure.to_string()),
            Way::Request | Way::Push if subject.is_oneway() => Verdict::Drop,
            Way::Request | Way::Push | Way::Response | Way::PushResponse => {
                Verdict::Answer(failure.answer(&self.name, subject.request_code()))
            }
        }
    }
}

/// Whether a verdict can be followed for this command.
fn possible(hook: Hook, subject: &Subject, verdict: Verdict) -> Result<Verdict, Failure> {
    let impossible = |what: &str| Err(Failure::Impossible(what.to_owned()));
    match (&verdict, hook) {
        (Verdict::Answer(_), Hook::Request) if subject.is_oneway() => {
            impossible("answer to a one-way command, which nobody waits for; drop or forward it")
        }
        (Verdict::Drop, Hook::Request) if !subject.is_oneway() && subject.way() == Way::Request => {
            impossible("drop of a command whose client waits for an answer; answer it")
        }
        (Verdict::Delay(_) | Verdict::Drop, Hook::Response) => {
            impossible("a response can only be forwarded, answered otherwise, or the connection closed")
        }
        (Verdict::Answer(answer), _) => {
            // Only here can the policy still say what becomes of the command.
            let written = answer.to_command(subject.head(), subject.kind()).encode();
            let frame = written.map_err(|error| Failure::Unwritable(error.to_string()))?;
            fits(&frame)?;
            Ok(verdict)
        }
        _ => Ok(verdict),
    }
}

/// Clients close the connection on a longer frame, with everything that is in flight.
pub(super) fn fits(frame: &Frame) -> Result<(), Failure> {
    let bytes = frame.len();
    if bytes > FRAME_LIMIT {
        let what = format!("it has {bytes} bytes, and clients and brokers accept at most {FRAME_LIMIT}");
        return Err(Failure::Unwritable(what));
    }
    Ok(())
}

/// Whether consumers would ask again at once and for ever.
fn starts_a_storm(subject: &Subject, verdict: &Verdict) -> bool {
    let Verdict::Answer(answer) = verdict else {
        return false;
    };
    answer.code == response::FLOW_CONTROL && waits_for_messages(subject.request_code())
}

/// How long a command is held and who is asked then; `None` when it is not held at all.
fn held(subject: &Subject, wait: Duration, next: usize) -> Option<(Duration, Option<usize>)> {
    let limit = subject.max_delay();
    let code = subject.request_code();
    if wait.is_zero() || limit.is_zero() {
        return None;
    }
    if wait <= limit {
        return Some((wait, Some(next)));
    }
    let gives_up = waits_for_messages(code) && !subject.is_oneway();
    Some((limit, (!gives_up).then_some(next)))
}

/// Codes that ask for messages and come again when there are none.
pub fn waits_for_messages(code: Code) -> bool {
    matches!(
        code,
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE | rq::POP_MESSAGE | rq::NOTIFICATION
    )
}
