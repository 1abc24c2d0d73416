//! A loaded filter as the chain calls it: an instance from the pool, a call, and what becomes of the instance.

use std::fmt;
use std::time::Duration;

use super::breaker::Breaker;
use super::instance::{Health, Instance, Plan, Stillborn};
use super::interests;
use super::pool::Pool;
use crate::filter::{Failure, Filter, Hook, Hooks, Interest, Subject, Verdict};

/// What the start and `init` of one more instance may take: a session waits for it.
const INIT_TIME: Duration = Duration::from_secs(1);

/// A filter with one configuration.
pub(super) struct Guest {
    plan: Plan,
    hooks: Hooks,
    interests: Vec<Interest>,
    // On the heap, so that taking one and giving it back moves a pointer.
    idle: Pool<Box<Instance>>,
    breaker: Breaker,
}

impl Guest {
    /// A filter with its first instance.
    pub(super) fn new(plan: Plan, interests: Vec<Interest>, first: Instance) -> Self {
        let threads = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
        let idle = Pool::new(threads);
        idle.put(Box::new(first));
        Self {
            hooks: plan.exports.hooks(),
            plan,
            interests,
            idle,
            breaker: Breaker::new(),
        }
    }

    /// One more instance. It must want what the first one wanted: the chain was built on that.
    fn make(&self) -> Result<Box<Instance>, Failure> {
        let (instance, wants) = self.plan.make(INIT_TIME).map_err(|why| {
            Failure::NoInstance(match why {
                Stillborn::Instantiate(failure) => failure.to_string(),
                Stillborn::Init(failure) => format!("in init, {failure}"),
                Stillborn::Refused(text) => format!("init refused: {text}"),
            })
        })?;
        match interests::read(wants, self.hooks) {
            Ok(wants) if wants == self.interests => Ok(Box::new(instance)),
            _ => Err(Failure::NoInstance(
                "init returned other interests than it did for the first instance; every instance must return the same"
                    .to_owned(),
            )),
        }
    }
}

impl Filter for Guest {
    fn interests(&self) -> &[Interest] {
        &self.interests
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }

    fn call(&self, hook: Hook, subject: Box<Subject>) -> (Box<Subject>, Result<Verdict, Failure>) {
        if let Err(left) = self.breaker.admit() {
            return (subject, Err(Failure::Resting(left)));
        }
        let mut instance = match self.idle.take().map_or_else(|| self.make(), Ok) {
            Ok(instance) => instance,
            Err(failure) => {
                self.breaker.failed();
                return (subject, Err(failure));
            }
        };
        let (subject, outcome, health) = instance.call(&self.plan, hook, subject);
        match health {
            Health::Alive => {
                self.breaker.succeeded();
                self.idle.put(instance);
            }
            Health::Dead => {
                self.breaker.failed();
                drop(instance);
            }
        }
        (subject, outcome)
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("name", &self.plan.shared.name)
            .field("interests", &self.interests)
            .finish_non_exhaustive()
    }
}
