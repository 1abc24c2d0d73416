//! Who is at the other end of the connection.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::client::Host;
use super::super::ctx::Ctx;
use crate::filter::Client;

impl Ctx {
    fn client(&self) -> Option<&Client> {
        self.subject.as_ref().map(|subject| &**subject.client())
    }

    fn text(&self, of: impl Fn(&Client) -> String) -> String {
        self.client().map(of).unwrap_or_default()
    }
}

impl Host for Ctx {
    fn peer(&mut self) -> Result<String> {
        self.reads("client", "address");
        Ok(self.text(|client| client.peer.to_string()))
    }

    fn ip(&mut self) -> Result<String> {
        self.reads("client", "ip");
        Ok(self.text(|client| client.peer.ip().to_canonical().to_string()))
    }

    fn listener(&mut self) -> Result<String> {
        self.reads("client", "listener");
        Ok(self.text(|client| client.listener.to_string()))
    }

    fn client_id(&mut self) -> Result<Option<String>> {
        self.reads("client", "id");
        Ok(self
            .client()
            .and_then(|client| client.client_id.as_deref().map(str::to_owned)))
    }

    fn language(&mut self) -> Result<String> {
        self.reads("client", "language");
        Ok(self.text(|client| client.language.name().to_owned()))
    }

    fn version(&mut self) -> Result<i32> {
        self.reads("client", "version");
        Ok(self.client().map_or(0, |client| client.version))
    }

    fn user(&mut self) -> Result<Option<String>> {
        self.reads("client", "user");
        Ok(self
            .client()
            .and_then(|client| client.user.as_deref().map(str::to_owned)))
    }

    fn tls_subject(&mut self) -> Result<Option<String>> {
        self.reads("client", "certificate");
        Ok(self
            .client()
            .and_then(|client| client.tls_subject.as_deref().map(str::to_owned)))
    }

    fn connection(&mut self) -> Result<u64> {
        self.reads("client", "connection");
        Ok(self.client().map_or(0, |client| client.connection))
    }
}
