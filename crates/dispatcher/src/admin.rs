//! The operator's port: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reprise_core::store::{Database, StoreError, partitions};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::in_flight::Capacity;
use crate::metrics::{Metrics, Snapshot};
use crate::queue_look::QueueLook;

/// Connections at once. Monitoring needs a few; a bound keeps a stray client from taking the process's descriptors.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a request's headers, and a kept connection may rest.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long PostgreSQL may take to answer before this dispatcher is not ready. Longer, and a probe gives up first,
/// without the reason.
const READY_DEADLINE: Duration = Duration::from_secs(1);
/// Partitions must reach this far ahead; closer, and something keeps maintenance from its work.
const MIN_PARTITIONS_AHEAD: time::Duration = time::Duration::days(2);

/// What the port answers from.
pub(crate) struct Admin {
    pub(crate) database: Database,
    pub(crate) capacity: Capacity,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) queue: QueueLook,
    /// The dispatcher no longer claims.
    pub(crate) draining: CancellationToken,
}

/// The port, bound.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds the port and logs which one it is.
    ///
    /// # Errors
    ///
    /// It can't be had.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self> {
        let socket = TcpListener::bind(address)
            .await
            .with_context(|| format!("REPRISE_ADMIN_LISTEN: listening on {address}"))?;
        info!("listening on {}", socket.local_addr()?);
        Ok(Self { socket })
    }

    /// Serves until told to stop, each connection on `tracker`.
    pub(crate) async fn serve(
        self,
        admin: Arc<Admin>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely; accepting at once again would spin.
                    warn!(%error, "The admin port can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                continue;
            };
            let (admin, stop) = (Arc::clone(&admin), stop.clone());
            tracker.spawn(async move {
                tokio::select! {
                    () = serve_connection(stream, admin) => {}
                    () = stop.cancelled() => {}
                }
                drop(slot);
            });
        }
    }
}

async fn serve_connection(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(|request| answer(Arc::clone(&admin), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "A connection to the admin port ended early");
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(admin: Arc<Admin>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/healthz" | "/readyz" | "/metrics" if !is_read => json(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"detail": "Method Not Allowed"}),
        ),
        "/healthz" => json(StatusCode::OK, &json!({"status": "ok"})),
        "/readyz" => admin.readiness().await,
        "/metrics" => admin.metrics().await,
        _ => json(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
    })
}

impl Admin {
    async fn readiness(&self) -> Answer {
        let mut problems = Vec::new();
        if self.draining.is_cancelled() {
            problems.push("The dispatcher is draining");
        }
        match self.partitions_ahead().await {
            Ok(ahead) if ahead >= MIN_PARTITIONS_AHEAD => {}
            Ok(_) => problems.push("Partitions reach less than two days ahead"),
            Err(error) => {
                debug!(%error, "Not ready");
                problems.push("PostgreSQL can't be asked");
            }
        }
        if problems.is_empty() {
            json(StatusCode::OK, &json!({"status": "ready"}))
        } else {
            let body = json!({"status": "not ready", "problems": problems});
            json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }

    async fn partitions_ahead(&self) -> Result<time::Duration, StoreError> {
        self.database
            .run(READY_DEADLINE, partitions::remaining)
            .await
            .flatten()
    }

    async fn metrics(&self) -> Answer {
        let now = Snapshot {
            in_flight: self.capacity.held_count(),
            free_permits: self.capacity.free_permits(),
            pool: self.database.pool_use(),
            queue: self.queue.state(&self.database).await,
        };
        match self.metrics.encode(&now) {
            Ok(text) => {
                let mut answer = Response::new(Full::from(text));
                answer.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static(
                        "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    ),
                );
                answer
            }
            Err(error) => {
                warn!(%error, "Metrics can't be written");
                json(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &json!({"detail": "Metrics can't be written"}),
                )
            }
        }
    }
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::from(body.to_string()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
