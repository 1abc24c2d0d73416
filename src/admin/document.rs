//! The `OpenAPI` document, made from the handlers themselves.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::api::described;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gimbal admin API",
        description = "What an operator sees of a running Gimbal, and what they may do to it. Errors of every kind are \
                       JSON with what is wrong and what would be accepted.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "probes", description = "For Kubernetes and Prometheus."),
        (name = "looking", description = "What there is."),
        (name = "acting", description = "What can be done. Needs `Content-Type: application/json`."),
    )
)]
struct Base;

/// The document that describes every path.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

/// What is said about all paths.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    let mut base = Base::openapi();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The token in the file that `admin.token_path` names, where it names one.",
        ));
    let components = base.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(token.build()));
    base
}
