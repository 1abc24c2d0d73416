//! What the rooms know of themselves, as the admin API shows it.

use std::time::SystemTime;

use crate::admin::view;
use crate::config::Addressing;
use crate::downstream::Listener;
use crate::filter::folder::{Counts, Event, Serving, Status};
use crate::protocol::body::TopicRoute;
use crate::session::Portrait;
use crate::tls;

pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn seconds(since_1970: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(since_1970).unwrap_or_default());
    let then = SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(then).to_string()
}

pub(super) fn listener(listener: &Listener, sessions: usize) -> view::Listener {
    let settings = listener.settings();
    let state = listener.tls_state();
    let addressing = match settings.addressing {
        Addressing::Auto => "auto",
        Addressing::Shared => "shared",
        Addressing::PerBroker => "per-broker",
    };
    let mode = match &settings.tls {
        None => "disabled",
        Some(tls) if tls.is_enforced => "enforcing",
        Some(_) => "permissive",
    };
    view::Listener {
        name: settings.name.clone(),
        bind: listener.bound().to_string(),
        advertise: settings.advertise.clone(),
        addressing: addressing.to_owned(),
        tls: mode.to_owned(),
        certificates: state
            .iter()
            .flat_map(|state| &state.certificates)
            .map(certificate)
            .collect(),
        tls_error: state.and_then(|state| state.error.clone()),
        broker_ports: listener.open_broker_ports(),
        sessions,
    }
}

fn certificate(state: &tls::CertificateState) -> view::Certificate {
    view::Certificate {
        subject: state.subject.clone(),
        names: state.names.clone(),
        not_after: seconds(state.not_after),
    }
}

pub(super) fn session(portrait: Portrait) -> view::Session {
    let tally = portrait.tally;
    view::Session {
        session: portrait.session,
        client: portrait.client,
        peer: portrait.peer,
        listener: portrait.listener,
        broker_port: portrait.broker_port,
        user: portrait.user,
        tls_subject: portrait.tls_subject,
        producers: portrait.producers,
        consumers: portrait.consumers,
        topics: portrait.topics,
        language: portrait.language,
        version: portrait.version,
        since: portrait.since.map(time).unwrap_or_default(),
        idle_ms: u64::try_from(portrait.idle.as_millis()).unwrap_or(u64::MAX),
        requests: tally.requests,
        pushes: tally.pushes,
        bytes_in: tally.bytes_in,
        bytes_out: tally.bytes_out,
        requests_per_s: (portrait.requests_per_s * 100.0).round() / 100.0,
        in_flight: portrait.in_flight,
        held: portrait.held,
        brokers: portrait.brokers.into_iter().map(|(name, _)| name).collect(),
    }
}

/// Whether `text` (in lower case) occurs in anything that tells who a session is.
pub(super) fn is_about(session: &view::Session, text: &str) -> bool {
    let single = [
        session.client.as_deref(),
        Some(session.peer.as_str()),
        session.user.as_deref(),
        session.tls_subject.as_deref(),
        Some(session.listener.as_str()),
        Some(session.language.as_str()),
        Some(session.version.as_str()),
    ];
    let lists = [
        &session.producers,
        &session.consumers,
        &session.topics,
        &session.brokers,
    ];
    let lists = lists.into_iter().flatten().map(String::as_str);
    single
        .into_iter()
        .flatten()
        .chain(lists)
        .any(|known| known.to_lowercase().contains(text))
}

pub(super) fn route(topic: String, route: &TopicRoute, age_s: u64) -> view::Route {
    let queues = route.queues().into_iter().map(|queues| view::Queues {
        broker: queues.broker,
        write: queues.write_queues,
        perm: queues.perm,
    });
    view::Route {
        topic,
        age_s,
        queues: queues.collect(),
    }
}

pub(super) fn filter(status: Status, is_required: bool) -> view::Filter {
    let serving = match status.serving {
        Serving::Current => "current",
        Serving::Kept => "kept",
        Serving::Accepted => "accepted",
        Serving::Refusal => "refusal",
        Serving::Nothing => "nothing",
    };
    view::Filter {
        name: status.name,
        file: status.file,
        serving: serving.to_owned(),
        is_disabled: status.is_disabled,
        is_required,
        title: status.title,
        version: status.version,
        description: status.description,
        digest: status.digest,
        generation: status.generation,
        since: status.since.map(time),
        mode: status.mode.to_owned(),
        on_error: status.on_error.to_owned(),
        interests: status.interests,
        grants: status.grants,
        counters: counters(status.counters),
        trouble: status.trouble.map(|trouble| view::Trouble {
            when: time(trouble.when),
            step: trouble.step.to_owned(),
            text: trouble.text,
        }),
        history: status
            .history
            .into_iter()
            .map(|outcome| view::FilterEvent {
                when: time(outcome.when),
                event: event(outcome.event).to_owned(),
                generation: outcome.generation,
                digest: outcome.digest,
                text: outcome.text,
            })
            .collect(),
    }
}

fn counters(counts: Counts) -> view::FilterCounters {
    let (last_failure_at, last_failure) = counts
        .last_failure
        .map(|last| (time(last.when), last.text))
        .unzip();
    view::FilterCounters {
        calls: counts.calls,
        forwards: counts.forwards,
        answers: counts.answers,
        delays: counts.delays,
        drops: counts.drops,
        closes: counts.closes,
        shadowed: counts.shadowed,
        failures: counts.failures,
        nanos: counts.nanos,
        last_failure_at,
        last_failure,
    }
}

fn event(event: Event) -> &'static str {
    match event {
        Event::Loaded => "loaded",
        Event::Changed => "changed",
        Event::Off => "off",
        Event::Failed => "failed",
        Event::Disabled => "disabled",
        Event::Enabled => "enabled",
    }
}
