//! What becomes of a connection once its first bytes have shown what it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::Listener;
use super::admission::{Admission, Admitted};
use super::grpc::pass_on;
use super::opening::{Opened, Spoken, open};
use crate::session::{self, Core, Place, Session};
use crate::socket::Inbox;

/// How long somebody who speaks HTTP/1 may take to read a few words.
const READING_LIMIT: Duration = Duration::from_secs(2);

impl Listener {
    /// Looks at the first bytes and serves what they announce.
    pub(super) async fn begin(
        &self,
        core: Arc<Core>,
        place: Place,
        (tcp, peer): (TcpStream, SocketAddr),
        (admission, admitted): (&Admission, &mut Admitted),
    ) {
        let config = core.config.load_full();
        let settings = self.settings();
        let counts = self.openings();
        let mut drain = core.drain.clone();
        let rules = self.rules();
        // On the heap while it lasts: a connection's task is as large as the largest thing it ever waits for.
        let opening = Box::pin(open(tcp, peer, &rules, config.timeouts.opening));
        let opening = tokio::select! {
            opening = opening => opening,
            // Nothing has been asked yet, so nothing is owed.
            _ = drain.wait_for(Option::is_some) => return,
            () = admitted.is_cut() => return,
        };
        let opened = match opening {
            Ok(opened) => opened,
            Err(refusal) => return counts.note_refused(&refusal, &settings.name, peer),
        };
        counts.note_opened(&opened);
        if !admission.count_address(&core, admitted, opened.origin.peer.ip()) {
            return;
        }
        match opened.spoken {
            Spoken::Remoting => {
                // In memory of its size: a heartbeat may be kept for as long as the client is there.
                let read = BytesMut::from(&opened.read[..]);
                let inbox = Inbox::with_bytes(config.limits.frame, read);
                drop((config, settings));
                session::run(Session::new(core, place, opened.stream, opened.origin), inbox).await;
            }
            Spoken::Http2 => {
                let Some(upstream) = self.grpc() else { return };
                let name = &upstream.settings.upstream;
                match Box::pin(upstream.dial(&opened, &config.timeouts)).await {
                    Ok(stream) => {
                        Box::pin(pass_on(opened, stream, config.timeouts.idle, drain, counts)).await;
                    }
                    Err(error) => counts.note_unreachable(&settings.name, name, &error),
                }
            }
            Spoken::Http1 => {
                debug!(peer = %opened.origin.peer, "told a client that speaks HTTP/1 where it is");
                // Whoever does not read it in time does without.
                drop(timeout(READING_LIMIT, Box::pin(explain(opened, rules.takes_http2))).await);
            }
        }
    }
}

/// Tells whoever speaks HTTP/1 what this port is.
async fn explain(opened: Opened, takes_grpc: bool) {
    let spoken = if takes_grpc {
        "RocketMQ's remoting protocol and gRPC"
    } else {
        "RocketMQ's remoting protocol"
    };
    let text = format!(
        "This is Gimbal, a proxy for Apache RocketMQ. This port speaks {spoken}, not HTTP/1.\n\
         Metrics, status and the console are not here but at the address in [admin] of its configuration.\n"
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    let stream = opened.stream;
    let mut answer = BytesMut::from(answer.as_bytes());
    if super::grpc::write_all(&stream, &mut answer).await.is_err() || stream.close_write().is_err() {
        return;
    }
    // Closing with unread bytes would take the answer back.
    let mut inbox = Inbox::new(usize::MAX);
    while stream.readable().await.is_ok() && inbox.discard(&stream) {}
}
