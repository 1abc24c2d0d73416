//! Numbers of the edge, as metrics: how connections open and wait, memory, certificates, brokers and name servers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::downstream::{Listener, Shared};
use crate::metrics::{Metrics, Sheet, list, to_f64};
use crate::session::Counts;
use crate::upstream::{CircuitState, Dialler, Role};

/// Has these asked at every look at the metrics, as long as the proxy is there.
pub(super) fn add(metrics: &Metrics, shared: &Arc<Shared>, listeners: &[Arc<Listener>]) {
    let shared = Arc::downgrade(shared);
    let listeners: Vec<Weak<Listener>> = listeners.iter().map(Arc::downgrade).collect();
    metrics.add(move |sheet: &mut Sheet| {
        let Some(shared) = shared.upgrade() else { return };
        of_openings(sheet, &shared);
        of_limits(sheet, &shared.core.counts);
        of_memory(sheet, &shared);
        of_born_hosts(sheet, &shared);
        of_peers(sheet, &shared.core.dialler);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            of_certificates(sheet, &listener);
        }
    });
}

fn of_openings(sheet: &mut Sheet, shared: &Shared) {
    let openings = &shared.openings;
    for (cause, count) in openings.refused() {
        sheet.count(list::CONNECTIONS_REFUSED, &[cause], count);
    }
    for (spoken, counter) in [
        ("remoting", &openings.remoting),
        ("http2", &openings.http2),
        ("http1", &openings.http1),
    ] {
        sheet.count(list::OPENINGS, &[spoken], counter.load(Ordering::Relaxed));
    }
    sheet.count(list::TLS_CONNECTIONS, &[], openings.tls.load(Ordering::Relaxed));
    sheet.count(
        list::PROXIED_CONNECTIONS,
        &[],
        openings.proxied.load(Ordering::Relaxed),
    );
    sheet.count(list::GRPC_CONNECTIONS, &[], openings.grpc_now.now());
    sheet.count(
        list::GRPC_FAILED,
        &[],
        openings.grpc_failed.load(Ordering::Relaxed),
    );
    for (to, counter) in [
        ("upstream", &openings.grpc_sent),
        ("client", &openings.grpc_received),
    ] {
        sheet.count(list::GRPC_BYTES, &[to], counter.load(Ordering::Relaxed));
    }
}

fn of_limits(sheet: &mut Sheet, counts: &Counts) {
    for (cause, count) in [
        ("openings_limit", &counts.openings_cut),
        ("address_limit", &counts.refused_by_address),
        ("user_limit", &counts.refused_by_user),
    ] {
        sheet.count(list::CONNECTIONS_REFUSED, &[cause], count.total());
    }
    sheet.count(list::CONNECTIONS_ACCEPTED, &[], counts.accepted.total());
    for (cause, count) in [("exhausted", &counts.exhausted), ("aborted", &counts.aborted)] {
        sheet.count(list::ACCEPT_FAILURES, &[cause], count.total());
    }
    for (limit, count) in [
        ("connections", &counts.waited_for_all),
        ("listener", &counts.waited_for_listener),
        ("openings", &counts.waited_for_openings),
    ] {
        sheet.count(list::CONNECTION_WAITS, &[limit], count.total());
    }
    for (what, count) in [("frame", &counts.memory_waits), ("queues", &counts.memory_holds)] {
        sheet.count(list::MEMORY_WAITS, &[what], count.total());
    }
    sheet.count(list::ANSWERS_LATE, &[], counts.answer_late.total());
}

fn of_memory(sheet: &mut Sheet, shared: &Shared) {
    let memory = &shared.core.memory;
    for (side, budget) in [("clients", memory.clients()), ("brokers", memory.brokers())] {
        sheet.put(list::MEMORY_RESERVED, &[side], size(budget.used()));
        sheet.put(list::MEMORY_BUDGET, &[side], size(budget.size()));
    }
    sheet.put(list::MEMORY_QUEUED, &[], size(memory.queued()));
}

fn of_born_hosts(sheet: &mut Sheet, shared: &Shared) {
    let counts = &shared.core.born_hosts;
    for (outcome, counter) in [
        ("stamped", &counts.stamped),
        ("signed", &counts.skipped_signed),
        ("full", &counts.skipped_full),
        ("unreadable", &counts.skipped_unreadable),
    ] {
        sheet.count(list::BORN_HOSTS, &[outcome], counter.load(Ordering::Relaxed));
    }
}

fn of_peers(sheet: &mut Sheet, dialler: &Dialler) {
    for peer in dialler.health().snapshot() {
        let role = match peer.role {
            Role::Broker => "broker",
            Role::NameServer => "nameserver",
        };
        let labels = [role, peer.name.as_str(), peer.address.as_str()];
        sheet.count(list::UPSTREAM_CONNECTIONS, &labels, peer.connections);
        let circuit = match peer.circuit {
            CircuitState::Closed => 0.0,
            CircuitState::HalfOpen => 0.5,
            CircuitState::Open => 1.0,
        };
        sheet.put(list::UPSTREAM_CIRCUIT, &labels, circuit);
        for (outcome, count) in [
            ("ok", peer.dials.saturating_sub(peer.failures)),
            ("failed", peer.failures),
            ("refused", peer.refused),
        ] {
            let [role, name, address] = labels;
            sheet.count(list::UPSTREAM_DIALS, &[role, name, address, outcome], count);
        }
    }
}

fn of_certificates(sheet: &mut Sheet, listener: &Listener) {
    let Some(state) = listener.tls_state() else { return };
    let name = &listener.settings().name;
    sheet.count(
        list::CERTIFICATE_TROUBLE,
        &[name],
        u64::from(state.error.is_some()),
    );
    for certificate in state.certificates.iter().filter(|one| !one.is_authority) {
        let expiry = u64::try_from(certificate.not_after).map_or(0.0, to_f64);
        sheet.put(list::CERTIFICATE_EXPIRY, &[name, &certificate.subject], expiry);
    }
}

fn size(bytes: usize) -> f64 {
    u64::try_from(bytes).map_or(f64::INFINITY, to_f64)
}
