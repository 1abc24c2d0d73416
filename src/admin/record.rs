//! Recordings: commands as they are, for `gimbal record`, as lines of JSON for as long as the caller listens.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::Stream;

use super::api::{Desk, query};
use super::house::{Recording, Refused};
use super::reply::Failure;
use super::view::{Problem, RecordQuery};

/// Recordings at a time; each costs sessions a little, and memory.
pub(super) const RECORDINGS: usize = 4;

/// The lines of one caller.
struct Lines {
    lines: Recording,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Stream for Lines {
    type Item = Result<String, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.as_mut().poll_next(cx).map(|line| line.map(Ok))
    }
}

/// Commands as filters are about to see them, as lines of JSON until the caller leaves: first a header, then a line for
/// each request, response and push, with secrets masked. `{"left_out":N}` says that so many were not told since the caller
/// was too slow; an empty line comes every ten seconds without any. `gimbal record` writes it to a file.
#[utoipa::path(get, path = "/api/v1/record", tag = "looking", security(("token" = [])), params(RecordQuery), responses(
    (status = 200, body = String, content_type = "application/x-ndjson", description = "A recording; `gimbal replay` reads it."),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn record(
    State(desk): State<Desk>,
    asked: Result<Query<RecordQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let query = query(asked, "code, topic, group, client, bodies and sample")?;
    let permit = Arc::clone(desk.recordings())
        .try_acquire_owned()
        .map_err(|_none_left| {
            let error = format!("{RECORDINGS} others are recording");
            let accepted = "the same again, when one of them has ended";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, error, accepted)
        })?;
    let lines = desk.house().record(&query).map_err(|refused| match refused {
        Refused::Invalid { what, accepted } => Failure::invalid(what, accepted),
        other => other.into(),
    })?;
    let lines = Lines {
        lines,
        _permit: permit,
    };
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}
