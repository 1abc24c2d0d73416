//! What a filter implements, and the macro that turns it into an artefact.

use serde::de::DeserializeOwned;

use crate::{Client, Command, Interest, Verdict, config};

/// A filter: its configuration, checked, and what it wants to see.
///
/// Gimbal makes several instances of a filter and throws them away at any time: what must be shared or must last belongs
/// into [`Store`](crate::Store) or [`Limit`](crate::Limit).
pub trait Filter: Sized + 'static {
    /// What the sidecar's `config` table holds. Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is an
    /// error rather than a rule that does not hold.
    type Config: DeserializeOwned;

    /// Makes the filter of its configuration. An error is the operator's to read: what is wrong, and what would be
    /// accepted. The filter is then not loaded.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// What the filter wants to see; the narrower, the less it costs. Every instance must say the same.
    fn interests(&self) -> Vec<Interest>;
}

/// A filter that sees requests.
pub trait Requests: Filter {
    /// Decides about a request.
    fn on_request(&self, command: &Command) -> Verdict;
}

/// A filter that sees responses.
pub trait Responses: Filter {
    /// Decides about a response. `forward`, `answer` and `close` are the verdicts that fit.
    fn on_response(&self, command: &Command) -> Verdict;
}

/// A filter that sees connections come and go.
pub trait Connections: Filter {
    /// Once per connection, before its first command. An error closes the connection; its text goes to the log.
    fn on_connect(&self, client: &Client) -> Result<(), String>;

    /// Once when the connection has ended.
    fn on_disconnect(&self, _client: &Client) {}
}

/// Makes a filter of the text of its configuration: what the exported `init` does.
#[doc(hidden)]
pub fn load<F: Filter>(text: &str) -> Result<(F, Vec<Interest>), String> {
    let filter = F::new(config::parse(text)?)?;
    let interests = filter.interests();
    Ok((filter, interests))
}

/// A wasm32-unknown-unknown guest has no standard error: without this the text of a panic is lost.
#[doc(hidden)]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        crate::log::write(crate::Level::Error, &panic.to_string());
    }));
}

/// Exports a filter, with the hooks it has. Without a list it is `requests` alone.
///
/// The file `manifest.json` beside the crate's `Cargo.toml` goes into the artefact, as custom section `gimbal:manifest`.
///
/// ```ignore
/// gimbal_sdk::export!(MyFilter);
/// gimbal_sdk::export!(MyFilter: requests, responses, connections);
/// ```
#[macro_export]
macro_rules! export {
    ($filter:ident) => {
        $crate::export!($filter: requests);
    };
    ($filter:ident: $($hook:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static FILTER: ::std::cell::OnceCell<$filter> = const { ::std::cell::OnceCell::new() };
            }

            /// Calls of a hook before `init` are a fault of the host: they trap.
            fn with<T>(call: impl FnOnce(&$filter) -> T) -> T {
                FILTER.with(|filter| call(filter.get().expect("`init` comes first")))
            }

            struct Exported;

            impl $crate::bindings::lifecycle::exports::gimbal::filter::lifecycle::Guest for Exported {
                fn init(config: String) -> Result<Vec<$crate::Interest>, String> {
                    $crate::hook::report_panics();
                    let (filter, interests) = $crate::hook::load::<$filter>(&config)?;
                    FILTER.with(|place| place.set(filter)).map_err(|_| "`init` comes once".to_owned())?;
                    Ok(interests)
                }
            }
            $crate::bindings::lifecycle::export_lifecycle!(Exported with_types_in $crate::bindings::lifecycle);
            $($crate::__export_hook!($filter $hook);)+

            #[unsafe(link_section = "gimbal:manifest")]
            #[used]
            static MANIFEST: [u8; include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json")).len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));
        };

        // What is exported must be there on every target, so that `cargo test` finds a missing hook too.
        const _: () = {
            $($crate::__require_hook!($filter $hook);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __require_hook {
    ($filter:ident requests) => {
        const fn requests<F: $crate::Requests>() {}
        requests::<$filter>();
    };
    ($filter:ident responses) => {
        const fn responses<F: $crate::Responses>() {}
        responses::<$filter>();
    };
    ($filter:ident connections) => {
        const fn connections<F: $crate::Connections>() {}
        connections::<$filter>();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    ($filter:ident requests) => {
        impl $crate::bindings::requests::exports::gimbal::filter::requests::Guest for Exported {
            fn on_request(_code: i32) -> $crate::Verdict {
                with(|filter| $crate::Requests::on_request(filter, &$crate::Command::current()))
            }
        }
        $crate::bindings::requests::export_requests!(Exported with_types_in $crate::bindings::requests);
    };
    ($filter:ident responses) => {
        impl $crate::bindings::responses::exports::gimbal::filter::responses::Guest for Exported {
            fn on_response(_request_code: i32, _response_code: i32) -> $crate::Verdict {
                with(|filter| $crate::Responses::on_response(filter, &$crate::Command::current()))
            }
        }
        $crate::bindings::responses::export_responses!(Exported with_types_in $crate::bindings::responses);
    };
    ($filter:ident connections) => {
        impl $crate::bindings::connections::exports::gimbal::filter::connections::Guest for Exported {
            fn on_connect() -> Result<(), String> {
                with(|filter| $crate::Connections::on_connect(filter, &$crate::Client::current()))
            }
            fn on_disconnect() {
                with(|filter| $crate::Connections::on_disconnect(filter, &$crate::Client::current()));
            }
        }
        $crate::bindings::connections::export_connections!(Exported with_types_in $crate::bindings::connections);
    };
}
