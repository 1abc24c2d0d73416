//! The admin listener of a running process: how it is started, and what comes in there.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::admin::view::Done;
use crate::admin::{Server, StartError};
use crate::config::Admin;
use crate::config::admin::DEFAULT_BIND;
use crate::proxy::{House, Order, Proxy, start_admin};

/// The admin listener, if there is one, with what it shows and what it is told.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) house: Arc<House>,
    pub(super) server: Option<Server>,
    orders: mpsc::Receiver<Order>,
}

impl Desk {
    /// Starts it; without settings there is none, and no order ever comes.
    pub(super) fn open(
        proxy: &Proxy,
        settings: Option<&Admin>,
        (effective, log_level): (Value, &str),
    ) -> anyhow::Result<Self> {
        let (house, orders) = proxy.house(effective, log_level);
        let server = match settings {
            Some(settings) => start(settings, &house)?,
            None => None,
        };
        Ok(Self {
            house,
            server,
            orders,
        })
    }

    /// Where it listens.
    pub(super) fn bound(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::bound)
    }

    /// The next order.
    ///
    /// # Cancel safety
    /// No order is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

/// Starts the listener. Nobody has asked for the default address: another Gimbal of this machine may have it.
fn start(settings: &Admin, house: &Arc<House>) -> anyhow::Result<Option<Server>> {
    match start_admin(settings, Arc::clone(house)) {
        Ok(server) => Ok(Some(server)),
        Err(StartError::Bind { address, source })
            if source.kind() == ErrorKind::AddrInUse && address.to_string() == DEFAULT_BIND =>
        {
            tracing::warn!(%address, "there is no admin listener: its address is taken; [admin] bind names another");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            let bind = settings.bind;
            format!("admin.bind is {bind}; \"\" in its place starts without")
        }),
    }
}

/// What was done.
pub(super) fn done(done: impl Into<String>, notes: Vec<String>) -> Done {
    Done {
        done: done.into(),
        notes,
    }
}
