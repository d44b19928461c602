//! The running programs, a tenant, and the calls that most tests begin with.

mod calls;
mod program;
mod tenant;

pub use self::{
    calls::{create_endpoint, deliveries_of, publish, wait_for_delivery},
    tenant::Tenant,
};

use std::net::SocketAddr;

use self::program::{launch, launch_on, launch_only};
use crate::{http::Client, network::Host, process::Process};

/// The `REPRISE_SECRET_KEY` of all programs that the testkit starts.
pub const SECRET_KEY: &str = "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=";

/// A `reprise-api` on a free port, ready to serve.
#[derive(Debug)]
pub struct Api {
    /// The program itself, to be stopped or killed.
    pub process: Process,
    address: SocketAddr,
}

impl Api {
    /// Starts the API on a migrated database and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[]).await
    }

    /// [`Api::start`] with environment variables that add to or replace the usual ones.
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start_with(database_url: &str, environment: &[(&str, &str)]) -> Self {
        let (process, address) = launch("reprise-api", database_url, environment).await;
        Self { process, address }
    }

    /// [`Api::start_with`] on the far host of a [`Network`](crate::network::Network).
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start_on(host: &Host, database_url: &str, environment: &[(&str, &str)]) -> Self {
        let (process, address) = launch_on(host, "reprise-api", database_url, environment).await;
        Self { process, address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with the tenant's API key.
    #[must_use]
    pub fn client(&self, tenant: &Tenant) -> Client {
        self.anonymous().api_key(&tenant.api_key)
    }

    /// A client without credentials.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url())
    }
}

/// A `reprise-dispatcher`, ready to work.
#[derive(Debug)]
pub struct Dispatcher {
    /// The program itself, to be stopped or killed.
    pub process: Process,
    address: SocketAddr,
}

impl Dispatcher {
    /// Starts a dispatcher on a migrated database and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[]).await
    }

    /// [`Dispatcher::start`] with environment variables that add to or replace the usual ones.
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start_with(database_url: &str, environment: &[(&str, &str)]) -> Self {
        let (process, address) = launch("reprise-dispatcher", database_url, environment).await;
        Self { process, address }
    }

    /// [`Dispatcher::start_with`] on the far host of a [`Network`](crate::network::Network).
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time; its output is printed.
    pub async fn start_on(host: &Host, database_url: &str, environment: &[(&str, &str)]) -> Self {
        let (process, address) =
            launch_on(host, "reprise-dispatcher", database_url, environment).await;
        Self { process, address }
    }

    /// [`Dispatcher::start_with`] for one that is going to end or freeze, perhaps before it is ready.
    ///
    /// # Panics
    ///
    /// When it does not listen in time; its output is printed.
    pub async fn start_doomed(database_url: &str, environment: &[(&str, &str)]) -> Self {
        let (process, address) = launch_only("reprise-dispatcher", database_url, environment).await;
        Self { process, address }
    }

    /// A client of its admin port: `/healthz`, `/readyz`, `/metrics`.
    #[must_use]
    pub fn admin(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }
}
