//! What can be done over the admin listener.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::de::DeserializeOwned;

use super::api::Desk;
use super::house::Action;
use super::reply::Failure;
use super::view::{Done, LogLevel, Problem};

/// The body of a request, or why it could not be read.
type Body = Result<Bytes, BytesRejection>;

async fn act(desk: &Desk, action: Action) -> Result<Json<Done>, Failure> {
    Ok(Json(desk.house().act(action).await?))
}

fn json<T: DeserializeOwned>(body: Body, accepted: &str) -> Result<T, Failure> {
    let body = body.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text(), accepted))?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::invalid(format!("the body cannot be read: {error}"), accepted))
}

/// Nothing is to be said about an action that has no settings; `{}` says that as well as an empty body.
fn nothing_said(body: Body) -> Result<(), Failure> {
    const ACCEPTED: &str = "{}, or an empty body";
    match body {
        Ok(body) if body.is_empty() => Ok(()),
        body => {
            let said: serde_json::Map<String, serde_json::Value> = json(body, ACCEPTED)?;
            let first = said.keys().next();
            first.map_or(Ok(()), |key| {
                Err(Failure::invalid(format!("{key:?} means nothing here"), ACCEPTED))
            })
        }
    }
}

/// Reads the configuration again; with a single problem, everything stays as it is.
#[utoipa::path(post, path = "/api/v1/reload", tag = "acting", security(("token" = [])), responses(
    (status = 200, body = Done), (status = 401, body = Problem), (status = 415, body = Problem),
    (status = 422, body = Problem, description = "The problems, as `gimbal check` prints them."), (status = 503, body = Problem)))]
pub(super) async fn reload(State(desk): State<Desk>, body: Body) -> Result<Json<Done>, Failure> {
    nothing_said(body)?;
    act(&desk, Action::Reload).await
}

/// Puts a filter back into the chain that was taken out of it.
#[utoipa::path(post, path = "/api/v1/filters/{name}/enable", tag = "acting", security(("token" = [])),
    params(("name" = String, Path, description = "Its name.")), responses(
    (status = 200, body = Done), (status = 401, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 415, body = Problem)))]
pub(super) async fn enable(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Done>, Failure> {
    nothing_said(body)?;
    act(&desk, Action::Enable(name)).await
}

/// Takes a filter out of the chain, until it is enabled, its files say something else than now, or the process starts again.
/// Required filters stay.
#[utoipa::path(post, path = "/api/v1/filters/{name}/disable", tag = "acting", security(("token" = [])),
    params(("name" = String, Path, description = "Its name.")), responses(
    (status = 200, body = Done), (status = 401, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 415, body = Problem)))]
pub(super) async fn disable(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Done>, Failure> {
    nothing_said(body)?;
    act(&desk, Action::Disable(name)).await
}

/// Stops in order, as on SIGTERM: readiness goes off, sessions finish, the process ends.
#[utoipa::path(post, path = "/api/v1/drain", tag = "acting", security(("token" = [])), responses(
    (status = 200, body = Done), (status = 401, body = Problem), (status = 409, body = Problem),
    (status = 415, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn drain(State(desk): State<Desk>, body: Body) -> Result<Json<Done>, Failure> {
    nothing_said(body)?;
    act(&desk, Action::Drain).await
}

/// Logs by another level until the next reload or restart.
#[utoipa::path(post, path = "/api/v1/log-level", tag = "acting", security(("token" = [])), request_body = LogLevel, responses(
    (status = 200, body = Done), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 415, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn log_level(State(desk): State<Desk>, body: Body) -> Result<Json<Done>, Failure> {
    let LogLevel { level } = json(body, "{\"level\": \"debug\"}")?;
    act(&desk, Action::LogLevel(level)).await
}
