//! What can be asked of the admin listener, path by path.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::connection::Caller;
use super::document::base;
use super::guard::Guard;
use super::house::House;
use super::record::RECORDINGS;
use super::reply::Failure;
use super::stream::{Events, TailQuery, Wanted};
use super::view::{
    Filter, Listener, Overview, Problem, RouteQuery, Routes, Session, SessionQuery, Sessions, Status,
    Upstreams,
};
use super::{acts, console, record};
use crate::metrics::CONTENT_TYPE;

/// Largest body of a request.
const BODY: usize = 16 << 10;
/// Most sessions or routes in one answer.
const MOST: usize = 1_000;
/// Live tails at a time; each costs sessions a little.
const TAILS: usize = 32;
/// A comment in the tail while there is nothing to tell, so that both sides know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What handlers work with.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    house: Arc<dyn House>,
    guard: Arc<Guard>,
    tails: Arc<Semaphore>,
    recordings: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(house: Arc<dyn House>, guard: Arc<Guard>) -> Self {
        Self {
            house,
            guard,
            tails: Arc::new(Semaphore::new(TAILS)),
            recordings: Arc::new(Semaphore::new(RECORDINGS)),
        }
    }

    /// Whom everything is asked of.
    pub(super) fn house(&self) -> &dyn House {
        &*self.house
    }

    /// One permit for each recording.
    pub(super) fn recordings(&self) -> &Arc<Semaphore> {
        &self.recordings
    }
}

/// Every path, and their description.
pub(super) fn described() -> (Router<Desk>, OpenApi) {
    OpenApiRouter::with_openapi(base())
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(status))
        .routes(routes!(overview))
        .routes(routes!(listeners))
        .routes(routes!(sessions))
        .routes(routes!(session))
        .routes(routes!(upstreams))
        .routes(routes!(topic_routes))
        .routes(routes!(filters))
        .routes(routes!(filter))
        .routes(routes!(config))
        .routes(routes!(tail))
        .routes(routes!(record::record))
        .routes(routes!(document))
        .routes(routes!(acts::reload))
        .routes(routes!(acts::enable))
        .routes(routes!(acts::disable))
        .routes(routes!(acts::drain))
        .routes(routes!(acts::log_level))
        .split_for_parts()
}

/// Everything that this listener answers.
pub(super) fn router(desk: Desk) -> Router {
    described()
        .0
        .route("/", get(console::page))
        .route("/console.css", get(console::style))
        .route("/console.js", get(console::script))
        .route("/favicon.svg", get(console::icon))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(desk.clone(), guarded))
        .with_state(desk)
}

/// Lets pass who may, and says on every answer what browsers may do with it.
async fn guarded(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<ConnectInfo<Caller>>();
    let has_certificate = caller.is_some_and(|ConnectInfo(caller)| caller.has_certificate);
    let asked = (request.method(), request.uri().path());
    let mut response = match desk.guard.check(asked, request.headers(), has_certificate) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let peer = caller.map(|ConnectInfo(caller)| caller.peer);
            tracing::debug!(?peer, path = asked.1, "the admin listener turned somebody away");
            failure.into_response()
        }
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"gimbal\""),
        );
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, console::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn nothing_there(uri: Uri) -> Failure {
    let error = format!("there is nothing at {}", uri.path());
    Failure::new(
        StatusCode::NOT_FOUND,
        error,
        "a path that GET /api/v1/openapi.json describes; / for the console",
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let error = format!("{} does not take {method}", uri.path());
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        error,
        "GET to look, POST to act, as GET /api/v1/openapi.json says",
    )
}

pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>, accepted: &str) -> Result<T, Failure> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Failure::invalid(rejection.body_text(), accepted)),
    }
}

fn limited(limit: Option<usize>) -> Result<(), Failure> {
    match limit {
        Some(limit) if !(1..=MOST).contains(&limit) => Err(Failure::invalid(
            format!("limit cannot be {limit}"),
            format!("1 to {MOST}"),
        )),
        _ => Ok(()),
    }
}

/// Whether the process lives: 200 while this listener's thread runs.
#[utoipa::path(get, path = "/livez", tag = "probes", responses((status = 200, body = String, description = "`ok`")))]
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether it may get new clients.
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, body = String, description = "`ok`"),
    (status = 503, body = String, description = "Why not, one reason a line."),
))]
async fn readyz(State(desk): State<Desk>) -> Response {
    match desk.house.unready() {
        reasons if reasons.is_empty() => "ok\n".into_response(),
        reasons => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

/// Everything counted, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, body = String, description = "Metrics."), (status = 401, body = Problem)))]
async fn metrics(State(desk): State<Desk>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], desk.house.metrics()).into_response()
}

/// The process at a glance.
#[utoipa::path(get, path = "/api/v1/status", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Status), (status = 401, body = Problem)))]
async fn status(State(desk): State<Desk>) -> Json<Status> {
    Json(desk.house.status())
}

/// Traffic since the start, for rates and latencies: ask twice.
#[utoipa::path(get, path = "/api/v1/overview", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Overview), (status = 401, body = Problem)))]
async fn overview(State(desk): State<Desk>) -> Json<Overview> {
    Json(desk.house.overview())
}

/// Listeners for clients.
#[utoipa::path(get, path = "/api/v1/listeners", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Vec<Listener>), (status = 401, body = Problem)))]
async fn listeners(State(desk): State<Desk>) -> Json<Vec<Listener>> {
    Json(desk.house.listeners())
}

/// Client connections, some at a time.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "looking", security(("token" = [])), params(SessionQuery), responses(
    (status = 200, body = Sessions), (status = 400, body = Problem), (status = 401, body = Problem)))]
async fn sessions(
    State(desk): State<Desk>,
    asked: Result<Query<SessionQuery>, QueryRejection>,
) -> Result<Json<Sessions>, Failure> {
    let query = query(asked, "q, offset, limit and sort")?;
    limited(query.limit)?;
    if let Some(sort) = &query.sort
        && !["session", "rate", "client"].contains(&sort.as_str())
    {
        return Err(Failure::invalid(
            format!("sort cannot be {sort:?}"),
            "session, rate or client",
        ));
    }
    Ok(Json(desk.house.sessions(&query)))
}

/// One client connection.
#[utoipa::path(get, path = "/api/v1/sessions/{session}", tag = "looking", security(("token" = [])),
    params(("session" = u64, Path, description = "Its number.")), responses(
    (status = 200, body = Session), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn session(State(desk): State<Desk>, Path(number): Path<String>) -> Result<Json<Session>, Failure> {
    let found = number.parse().ok().and_then(|number| desk.house.session(number));
    found.map(Json).ok_or_else(|| {
        let error = format!("there is no session {number:?}, or there is none any more");
        Failure::new(
            StatusCode::NOT_FOUND,
            error,
            "the number of one that GET /api/v1/sessions shows",
        )
    })
}

/// Brokers and name servers.
#[utoipa::path(get, path = "/api/v1/upstreams", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Upstreams), (status = 401, body = Problem)))]
async fn upstreams(State(desk): State<Desk>) -> Json<Upstreams> {
    Json(desk.house.upstreams())
}

/// Topic routes that are kept.
#[utoipa::path(get, path = "/api/v1/routes", tag = "looking", security(("token" = [])), params(RouteQuery), responses(
    (status = 200, body = Routes), (status = 400, body = Problem), (status = 401, body = Problem)))]
async fn topic_routes(
    State(desk): State<Desk>,
    asked: Result<Query<RouteQuery>, QueryRejection>,
) -> Result<Json<Routes>, Failure> {
    let query = query(asked, "q and limit")?;
    limited(query.limit)?;
    Ok(Json(desk.house.routes(&query)))
}

/// Filters, with what they did, what is wrong and what became of their last changes.
#[utoipa::path(get, path = "/api/v1/filters", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Vec<Filter>), (status = 401, body = Problem)))]
async fn filters(State(desk): State<Desk>) -> Json<Vec<Filter>> {
    Json(desk.house.filters())
}

/// One filter.
#[utoipa::path(get, path = "/api/v1/filters/{name}", tag = "looking", security(("token" = [])),
    params(("name" = String, Path, description = "Its name: `acl` is that of 20-acl.wasm.")), responses(
    (status = 200, body = Filter), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn filter(State(desk): State<Desk>, Path(name): Path<String>) -> Result<Json<Filter>, Failure> {
    let filters = desk.house.filters();
    let names: Vec<_> = filters.iter().map(|filter| filter.name.clone()).collect();
    filters
        .into_iter()
        .find(|filter| filter.name == name)
        .map(Json)
        .ok_or_else(|| {
            let accepted = if names.is_empty() {
                "nothing: there are no filters".to_owned()
            } else {
                names.join(", ")
            };
            Failure::new(
                StatusCode::NOT_FOUND,
                format!("there is no filter {name:?}"),
                accepted,
            )
        })
}

/// The settings in force, every default included and secrets masked.
#[utoipa::path(get, path = "/api/v1/config", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Object, description = "As the config file, in JSON."), (status = 401, body = Problem)))]
async fn config(State(desk): State<Desk>) -> Json<serde_json::Value> {
    Json(desk.house.config())
}

/// Commands as they end, as server-sent events: `begin` once, `command` with a record, `missed` with how many were left
/// out because the caller or the network was slow, or because there were more than 500 in a second.
#[utoipa::path(get, path = "/api/v1/tail", tag = "looking", security(("token" = [])), params(TailQuery), responses(
    (status = 200, body = crate::telemetry::Record, content_type = "text/event-stream"),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem)))]
async fn tail(
    State(desk): State<Desk>,
    asked: Result<Query<TailQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let query = query(asked, "code, topic, group, client, filter, outcome and sample")?;
    let wanted = Wanted::new(&query).map_err(|(error, accepted)| Failure::invalid(error, accepted))?;
    let permit = Arc::clone(&desk.tails)
        .try_acquire_owned()
        .map_err(|_none_left| {
            let error = format!("{TAILS} others are looking at the tail");
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error,
                "the same again, when one of them has gone",
            )
        })?;
    let events = Events::new(&desk.house.tail(), wanted, permit);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("still here");
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "looking", security(("token" = [])), responses(
    (status = 200, body = Object, description = "OpenAPI 3.1."), (status = 401, body = Problem)))]
async fn document() -> Json<OpenApi> {
    Json(described().1)
}
