//! A bound on making a connection, the TLS handshake included.
//!
//! An attempt's own deadline is not enough: when a connection that was in use becomes free, hyper hands that one to the
//! request and lets the one being made go on by itself, past the deadline. A receiver that accepts connections and
//! never speaks TLS on them would keep them all.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use tower_service::Service;

use super::guard::{BoxError, ConnectFailure};

/// The longest way from a URL to a connection that a request can be written to: the 10 s for TCP, and as much again for
/// a slow name server and a slow handshake.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes connections with `inner`, each within [`CONNECTION_TIMEOUT`].
#[derive(Clone, Debug)]
pub(super) struct BoundedConnector<C> {
    inner: C,
}

impl<C> BoundedConnector<C> {
    pub(super) fn new(inner: C) -> Self {
        Self { inner }
    }
}

impl<C> Service<Uri> for BoundedConnector<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.inner.call(url);
        Box::pin(async move {
            match tokio::time::timeout(CONNECTION_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectFailure::TooSlow.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Never connects.
    struct Silent;

    impl Service<Uri> for Silent {
        type Response = Infallible;
        type Error = BoxError;
        type Future = std::future::Pending<Result<Infallible, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connecting_ends_although_nobody_waits_for_it_any_more() {
        let mut connector = BoundedConnector::new(Silent);
        let failed = connector
            .call(Uri::from_static("https://receiver.example/"))
            .await;
        let error = failed.expect_err("nobody answered");
        assert!(matches!(
            error.downcast_ref(),
            Some(ConnectFailure::TooSlow)
        ));
    }
}
