//! Answers of the admin API that are not what was asked for: every error is JSON that says what would be accepted.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::house::Refused;
use super::view::Problem;

/// An error with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    problem: Problem,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, accepted: impl Into<String>) -> Self {
        let problem = Problem {
            error: error.into(),
            accepted: accepted.into(),
        };
        Self { status, problem }
    }

    /// A request that cannot be understood.
    pub(super) fn invalid(error: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, accepted)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown { what, accepted } => Self::new(StatusCode::NOT_FOUND, what, accepted),
            Refused::Conflict { what, accepted } => Self::new(StatusCode::CONFLICT, what, accepted),
            Refused::Invalid { what, accepted } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, what, accepted)
            }
            Refused::Unavailable(what) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                what,
                "the same again, a little later",
            ),
        }
    }
}
