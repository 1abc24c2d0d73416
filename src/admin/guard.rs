//! Who may ask: tokens, certificates, and pages of others that a browser was lured to.
//!
//! 1. Paths in `open` are answered to everybody; so is the page of the console, which holds nothing but itself.
//! 2. Whoever shows the token may do everything.
//! 3. Whoever shows a certificate of `client_ca`, and anybody where neither token nor CA is configured (which the
//!    configuration allows on a loopback address only), may do everything as well, if the request names this listener by
//!    an IP address, `localhost` or a name in `hosts`. A page of another site can make a browser ask here under a name of
//!    its own (DNS rebinding); it cannot make it name an address.
//! 4. Actions need `Content-Type: application/json`, which a form of another site cannot send, and no foreign `Origin`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tracing::warn;

use super::reply::Failure;

/// How often the file with the token is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Who may ask, as far as it can change while listening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// Whether certificates of callers are checked.
    pub has_client_ca: bool,
    /// What is answered to everybody: `livez`, `readyz`, `metrics`.
    pub open: Vec<String>,
    /// Host names beside `localhost` and IP addresses.
    pub hosts: Vec<String>,
}

/// Reads a file with a token; `Err` says what is wrong with it.
pub type ReadToken = fn(&Path) -> Result<String, String>;

/// The guard of the door.
#[derive(Debug)]
pub(super) struct Guard {
    access: ArcSwap<Access>,
    token: Mutex<Token>,
    read: ReadToken,
}

#[derive(Debug, Default)]
struct Token {
    text: Option<Secret>,
    file: Option<PathBuf>,
    stamp: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
}

/// A text that no log shows.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Guard {
    /// Reads the token; `Err` says what is wrong with its file.
    pub(super) fn new(access: Access, read: ReadToken) -> Result<Self, String> {
        let mut token = Token::default();
        if let Some(file) = &access.token_file {
            token.text = Some(Secret(read(file).map_err(|what| told(file, &what))?));
            token.file = Some(file.clone());
            token.stamp = stamp(file);
        }
        Ok(Self {
            access: ArcSwap::from_pointee(access),
            token: Mutex::new(token),
            read,
        })
    }

    /// Other rules hold from the next request on.
    pub(super) fn set(&self, access: Access) {
        self.access.store(access.into());
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.looked = None;
    }

    /// Whether this request may be answered.
    pub(super) fn check(
        &self,
        (method, path): (&Method, &str),
        headers: &HeaderMap,
        has_certificate: bool,
    ) -> Result<(), Failure> {
        let access = self.access.load();
        let is_read = method == Method::GET || method == Method::HEAD;
        let is_open = access
            .open
            .iter()
            .any(|open| path.strip_prefix('/') == Some(open));
        if is_read && (is_open || is_page(path)) {
            return Ok(());
        }
        let is_free = access.token_file.is_none() && !access.has_client_ca;
        if !self.shows_token(&access, headers) {
            if !has_certificate && !is_free {
                return Err(unknown(&access, headers));
            }
            check_host(&access, headers)?;
        }
        if is_read { Ok(()) } else { check_action(headers) }
    }

    fn shows_token(&self, access: &Access, headers: &HeaderMap) -> bool {
        let Some(file) = &access.token_file else {
            return false;
        };
        let shown = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
        let Some((scheme, shown)) = shown.and_then(|value| value.split_at_checked("Bearer ".len())) else {
            return false;
        };
        let Some(Secret(token)) = self.token(file) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.as_bytes().ct_eq(shown))
    }

    /// The token, read again when its file has changed; a file that cannot be used keeps the old one.
    fn token(&self, file: &Path) -> Option<Secret> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return token.text.clone();
        }
        token.looked = Some(Instant::now());
        let stamp = stamp(file);
        let is_same = token.file.as_deref() == Some(file);
        if is_same && token.stamp == stamp {
            return token.text.clone();
        }
        match (self.read)(file) {
            Ok(text) => token.text = Some(Secret(text)),
            // The token of another file is none of this one's.
            Err(what) if !is_same => {
                token.text = None;
                warn!(error = told(file, &what), "nobody can show a token");
            }
            Err(what) => warn!(
                error = told(file, &what),
                "the old token of the admin listener goes on"
            ),
        }
        token.file = Some(file.to_owned());
        token.stamp = stamp;
        token.text.clone()
    }
}

/// The console's own files: they hold nothing that is not in the binary.
fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/console.css" | "/console.js" | "/favicon.svg")
}

fn told(file: &Path, what: &str) -> String {
    format!("admin.token_path names {}, {what}", file.display())
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let found = file.metadata().ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn unknown(access: &Access, headers: &HeaderMap) -> Failure {
    let error = match (headers.contains_key(AUTHORIZATION), access.token_file.is_some()) {
        (true, true) => "the token is not the one of this listener",
        _ => "this listener wants to know who is asking",
    };
    let token = access
        .token_file
        .is_some()
        .then_some("\"Authorization: Bearer\" and the token in the file that admin.token_path names");
    let certificate = access
        .has_client_ca
        .then_some("a certificate of admin.tls.client_ca");
    let accepted: Vec<_> = token.into_iter().chain(certificate).collect();
    Failure::new(StatusCode::UNAUTHORIZED, error, accepted.join("; or "))
}

fn check_host(access: &Access, headers: &HeaderMap) -> Result<(), Failure> {
    let named = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let host = host_of(named);
    let is_known = |known: &String| known.eq_ignore_ascii_case(host);
    if host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || access.hosts.iter().any(is_known)
    {
        return Ok(());
    }
    let accepted = "an IP address, localhost, or a name in admin.hosts";
    let error = format!("this listener is not known as {host:?}, so a page of another site might be asking");
    Err(Failure::new(StatusCode::FORBIDDEN, error, accepted))
}

/// The host of `host:port` or `[ip]:port`.
fn host_of(text: &str) -> &str {
    if let Some((ip, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return ip;
    }
    text.split_once(':').map_or(text, |(host, _)| host)
}

fn check_action(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let kind = text(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let error = "an action is asked for in JSON, so that no page of another site can ask for it";
        let accepted = "Content-Type: application/json, and {} as the body where there is nothing to say";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, accepted));
    }
    let Some(origin) = text(ORIGIN) else { return Ok(()) };
    let from = origin.split_once("://").map_or(origin, |(_, from)| from);
    if text(HOST).is_some_and(|host| host.eq_ignore_ascii_case(from)) {
        return Ok(());
    }
    let error = format!("the page at {origin:?} may not act here");
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        error,
        "the console of this listener; or no Origin",
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::response::IntoResponse;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                axum::http::HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        pairs.collect()
    }

    fn guard(change: impl FnOnce(&mut Access)) -> Guard {
        let mut access = Access {
            open: vec!["livez".to_owned()],
            ..Access::default()
        };
        change(&mut access);
        Guard::new(access, |_| Ok("0123456789abcdef".to_owned())).unwrap()
    }

    fn status(guard: &Guard, request: (&Method, &str), pairs: &[(&'static str, &str)]) -> u16 {
        let outcome = guard.check(request, &headers(pairs), false);
        outcome.map_or_else(|failure| failure.into_response().status().as_u16(), |()| 200)
    }

    const STATUS: (&Method, &str) = (&Method::GET, "/api/v1/status");
    const RELOAD: (&Method, &str) = (&Method::POST, "/api/v1/reload");

    #[test]
    fn without_a_token_the_listener_must_be_named_by_an_address() {
        let guard = guard(|access| access.hosts = vec!["gimbal.example.org".to_owned()]);
        for host in [
            "127.0.0.1:9860",
            "[::1]:9860",
            "localhost:1",
            "LOCALHOST",
            "Gimbal.example.org:1",
        ] {
            assert_eq!(status(&guard, STATUS, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example.org:9860",
            "127.0.0.1.evil.org",
            "localhost.evil.org",
            "",
        ] {
            assert_eq!(status(&guard, STATUS, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(&guard, STATUS, &[]), 403);
        assert_eq!(
            status(&guard, (&Method::GET, "/livez"), &[("host", "evil.org")]),
            200
        );
    }

    #[test]
    fn where_there_is_a_token_it_must_be_the_right_one() {
        let guard = guard(|access| access.token_file = Some("token".into()));
        for (shown, expected) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeF", 401),
            ("Bearer 0123456789abcde", 401),
            ("Bearer 0123456789abcdef0", 401),
            ("Bearer ", 401),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
        ] {
            let pairs = [("host", "proxy.example.org"), ("authorization", shown)];
            assert_eq!(status(&guard, STATUS, &pairs), expected, "{shown}");
        }
        assert_eq!(status(&guard, STATUS, &[("host", "127.0.0.1")]), 401);
        assert_eq!(
            status(&guard, (&Method::GET, "/"), &[]),
            200,
            "the page asks for the token"
        );
        assert_eq!(status(&guard, (&Method::GET, "/metrics"), &[]), 401);
    }

    #[test]
    fn a_certificate_stands_for_a_token_and_does_not_open_the_door_to_other_sites() {
        let guard = guard(|access| access.has_client_ca = true);
        let check = |host, has_certificate| {
            let headers = headers(&[("host", host)]);
            guard.check(STATUS, &headers, has_certificate).is_ok()
        };
        assert!(check("127.0.0.1", true));
        assert!(!check("evil.example.org", true));
        assert!(!check("127.0.0.1", false));
    }

    #[test]
    fn a_page_of_another_site_cannot_act() {
        let guard = guard(|_| ());
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "127.0.0.1:9860");
        assert_eq!(status(&guard, RELOAD, &[host, json]), 200);
        assert_eq!(status(&guard, RELOAD, &[host]), 415);
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ] {
            assert_eq!(status(&guard, RELOAD, &[host, ("content-type", kind)]), 415);
        }
        assert_eq!(
            status(&guard, RELOAD, &[host, json, ("origin", "http://127.0.0.1:9860")]),
            200
        );
        for origin in ["http://evil.example.org", "http://127.0.0.1:80", "null"] {
            assert_eq!(
                status(&guard, RELOAD, &[host, json, ("origin", origin)]),
                403,
                "{origin}"
            );
        }
        assert_eq!(
            status(&guard, (&Method::POST, "/livez"), &[("host", "evil.org"), json]),
            403
        );
    }

    #[test]
    fn a_changed_token_is_read_again_and_a_broken_file_keeps_the_old_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let put = |text: &str| std::fs::write(file.path(), text).unwrap();
        put("first");
        let read = |path: &Path| match std::fs::read_to_string(path).unwrap() {
            text if text.is_empty() => Err("which is empty".to_owned()),
            text => Ok(text),
        };
        let access = Access {
            token_file: Some(file.path().to_owned()),
            ..Access::default()
        };
        let guard = Guard::new(access.clone(), read).unwrap();
        let shows = |token: &str| status(&guard, STATUS, &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(shows("first"), 200);
        put("the second");
        // What a reload does; otherwise it is looked at once a second.
        guard.set(access.clone());
        assert_eq!((shows("first"), shows("the second")), (401, 200));
        put("");
        guard.set(access);
        assert_eq!((shows(""), shows("the second")), (401, 200));
        let gone = Access {
            token_file: Some("/no/such".into()),
            ..Access::default()
        };
        let refused = Guard::new(gone, |_| Err("which cannot be read".to_owned()));
        assert!(refused.unwrap_err().contains("/no/such"));
    }
}
