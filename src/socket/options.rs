//! Options of a connected socket: what the system does about a peer that is no longer there.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Probes without an answer after which the system gives a connection up.
const PROBES: u32 = 3;

/// How long the system waits for a peer that says nothing. Made from settings, applied to each connection as it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A connection that was silent this long is probed; three probes without an answer, a quarter of this apart, end it.
    /// `None` probes never.
    pub keep_alive: Option<Duration>,
    /// Bytes that the peer's system has not acknowledged for this long end the connection. `None` leaves it to the
    /// system, which takes a quarter of an hour.
    pub user_timeout: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            keep_alive: Some(Duration::from_mins(1)),
            user_timeout: Some(Duration::from_secs(30)),
        }
    }
}

impl Patience {
    /// Sets the options, and that small writes go out at once.
    pub fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        if let Some(idle) = self.keep_alive {
            let probes = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(interval(idle))
                .with_retries(PROBES);
            socket.set_tcp_keepalive(&probes)?;
        }
        set_user_timeout(socket, self.user_timeout)
    }
}

/// The system counts whole seconds.
fn interval(idle: Duration) -> Duration {
    idle.checked_div(4).unwrap_or(idle).max(Duration::from_secs(1))
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>, limit: Option<Duration>) -> io::Result<()> {
    match limit {
        Some(limit) => socket.set_tcp_user_timeout(Some(limit)),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is no such option")]
fn set_user_timeout(_socket: &SockRef<'_>, _limit: Option<Duration>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connected() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn a_patience_is_what_the_socket_then_says() {
        let socket = connected();
        let patience = Patience {
            keep_alive: Some(Duration::from_secs(20)),
            user_timeout: Some(Duration::from_millis(12_500)),
        };
        let socket = SockRef::from(&socket);
        patience.apply(&socket).unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(20));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_millis(12_500))
        );
    }

    #[test]
    fn what_is_not_asked_for_stays_as_the_system_has_it() {
        let (touched, untouched) = (connected(), connected());
        let patience = Patience {
            keep_alive: None,
            user_timeout: None,
        };
        let (touched, untouched) = (SockRef::from(&touched), SockRef::from(&untouched));
        patience.apply(&touched).unwrap();
        assert!(!touched.keepalive().unwrap());
        assert_eq!(
            touched.tcp_user_timeout().unwrap(),
            untouched.tcp_user_timeout().unwrap()
        );
    }

    #[test]
    fn probes_are_never_closer_than_the_system_counts() {
        assert_eq!(interval(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
