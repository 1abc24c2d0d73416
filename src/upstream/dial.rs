//! Opening a connection by name: every address behind it has its chance, and none eats the time of the others.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// An address that has not answered for this long has the next one tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_TRIED: usize = 16;
/// What the system says when it has no more to give: descriptors of the process, of the system, buffers, memory, ports.
const OURS: [i32; 5] = [24, 23, 105, 12, 99];

/// Why no connection was opened.
#[derive(Debug)]
pub struct DialError {
    /// What went wrong before any address was tried.
    first: Option<String>,
    /// What each address said.
    tried: Vec<(SocketAddr, String)>,
    is_ours: bool,
}

impl DialError {
    pub(super) fn before(what: impl Into<String>) -> Self {
        Self {
            first: Some(what.into()),
            tried: Vec::new(),
            is_ours: false,
        }
    }

    fn of_name(error: &io::Error) -> Self {
        Self {
            is_ours: is_ours(error),
            ..Self::before(format!("its name cannot be looked up: {error}"))
        }
    }

    /// Whether something was missing on this machine, so that it says nothing of the peer.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = &self.first {
            f.write_str(first)?;
        }
        for (i, (address, what)) in self.tried.iter().enumerate() {
            let comma = if i == 0 { "" } else { "; " };
            write!(f, "{comma}{address}: {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {}

fn is_ours(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OURS.contains(&code))
}

/// Splits `host:port`. Brackets around an IPv6 literal may be missing, as in what some brokers register.
pub(super) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    Some((host, port.parse().ok()?)).filter(|_| !host.is_empty())
}

/// Looks up the name in `address` (`host:port`), and has `open` try each of its addresses: one after the other, the next
/// one beside it when one takes long, until one succeeds or `limit` is over.
///
/// # Cancel safety
/// Dropping the future gives up all attempts; nothing stays open.
pub(super) async fn dial<T, F>(
    address: &str,
    limit: Duration,
    open: impl Fn(SocketAddr) -> F + Send + Sync,
) -> Result<T, DialError>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let deadline = Instant::now() + limit;
    let target = split(address).ok_or_else(|| DialError::before("it is not host:port"))?;
    let found = timeout_at(deadline, lookup_host(target))
        .await
        .map_err(|_elapsed| DialError::before(format!("its name was not looked up within {limit:?}")))?
        .map_err(|error| DialError::of_name(&error))?;
    let addresses = in_turn(found.take(ADDRESSES_TRIED).collect());
    if addresses.is_empty() {
        return Err(DialError::before("its name has no address"));
    }
    race(addresses, deadline, &open).await.map_err(|mut failed| {
        let late = |address: &SocketAddr| (*address, format!("no connection within {limit:?}"));
        failed.error.tried.extend(failed.open.iter().map(late));
        let untried = |address: &SocketAddr| (*address, "not tried, no time was left".to_owned());
        failed.error.tried.extend(failed.left.iter().map(untried));
        failed.error
    })
}

struct Failed {
    error: DialError,
    /// Those that have not answered.
    open: Vec<SocketAddr>,
    /// Those whose turn did not come.
    left: VecDeque<SocketAddr>,
}

async fn race<T, F>(
    mut left: VecDeque<SocketAddr>,
    deadline: Instant,
    open: &(impl Fn(SocketAddr) -> F + Sync),
) -> Result<T, Failed>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut silent = Vec::new();
    let mut tried = Vec::new();
    let mut has_none = false;
    let mut next_at = Instant::now();
    loop {
        if (running.is_empty() || next_at <= Instant::now())
            && let Some(address) = left.pop_front()
        {
            let attempt = open(address);
            running.spawn(async move { (address, attempt.await) });
            silent.push(address);
            next_at = Instant::now() + STAGGER;
        }
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((address, Err(error)))) => {
                    silent.retain(|other| *other != address);
                    has_none |= is_ours(&error);
                    tried.push((address, error.to_string()));
                    next_at = Instant::now();
                }
                Some(Err(_cancelled)) => {}
                None if left.is_empty() => break,
                None => {}
            },
            () = sleep_until(next_at), if !left.is_empty() => {}
            () = sleep_until(deadline) => break,
        }
    }
    let error = DialError {
        first: None,
        tried,
        is_ours: has_none,
    };
    Err(Failed {
        error,
        open: silent,
        left,
    })
}

/// Families take turns, beginning with the one that the system prefers: if one of them leads nowhere, the other is next.
fn in_turn(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let prefers_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = found
        .into_iter()
        .partition(|address| address.is_ipv6() == prefers_v6);
    let mut turns = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(second.pop_front());
    }
    turns
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Races these addresses for two seconds: those on port 1 answer at once, on port 2 refuse, on port 3 never answer.
    async fn raced(addresses: &[&str]) -> (Result<SocketAddr, String>, Duration) {
        let began = Instant::now();
        let open = |address: SocketAddr| async move {
            match address.port() {
                1 => Ok(address),
                2 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                _ => std::future::pending().await,
            }
        };
        let addresses = in_turn(addresses.iter().map(|text| at(text)).collect());
        let outcome = race(addresses, began + Duration::from_secs(2), &open).await;
        let outcome =
            outcome.map_err(|failed| format!("{}|{:?}|{:?}", failed.error, failed.open, failed.left));
        (outcome, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_moment_and_not_the_whole_time() {
        let (outcome, took) = raced(&["10.0.0.1:3", "10.0.0.2:3", "10.0.0.3:1"]).await;
        assert_eq!(outcome.unwrap(), at("10.0.0.3:1"));
        assert_eq!(took, 2 * STAGGER);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing() {
        let (outcome, took) = raced(&["10.0.0.1:2", "10.0.0.2:2", "10.0.0.3:1"]).await;
        assert_eq!(outcome.unwrap(), at("10.0.0.3:1"));
        assert_eq!(took, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_each_address_said_is_kept() {
        let (outcome, took) = raced(&["10.0.0.1:2", "10.0.0.2:3"]).await;
        assert_eq!(
            outcome.unwrap_err(),
            "10.0.0.1:2: connection refused|[10.0.0.2:3]|[]"
        );
        assert_eq!(took, Duration::from_secs(2));
    }

    #[test]
    fn families_take_turns_beginning_with_the_preferred_one() {
        let found = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"];
        let turns = in_turn(found.iter().map(|text| at(text)).collect());
        let wanted = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"];
        assert_eq!(turns, wanted.map(at));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_error_says_what_each_of_its_addresses_said() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let connect = |address| tokio::net::TcpStream::connect(address);
        let error = dial(&format!("localhost:{port}"), Duration::from_secs(5), connect)
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("127.0.0.1:{port}: Connection refused")),
            "{error}"
        );
        assert!(!error.is_ours());
        let error = dial("nowhere", Duration::from_secs(5), connect)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "it is not host:port");
    }

    #[tokio::test]
    async fn an_ipv6_literal_needs_no_brackets() {
        // Not every machine that builds this has IPv6.
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            return;
        };
        let port = listener.local_addr().unwrap().port();
        for address in [format!("[::1]:{port}"), format!("::1:{port}")] {
            let connect = |address| tokio::net::TcpStream::connect(address);
            dial(&address, Duration::from_secs(5), connect).await.unwrap();
        }
    }

    #[tokio::test]
    async fn being_out_of_descriptors_is_ours() {
        let open = |_address: SocketAddr| async { Err::<(), _>(io::Error::from_raw_os_error(24)) };
        let error = dial("127.0.0.1:1", Duration::from_secs(5), open)
            .await
            .unwrap_err();
        assert!(error.is_ours());
    }

    #[test]
    fn addresses_are_split_with_and_without_brackets() {
        assert_eq!(split("broker:10911"), Some(("broker", 10_911)));
        assert_eq!(split("[::1]:10911"), Some(("::1", 10_911)));
        assert_eq!(split("2001:db8::1:10911"), Some(("2001:db8::1", 10_911)));
        for wrong in ["broker", "broker:", ":10911", "broker:70000"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
