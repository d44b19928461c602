//! NOTIFY and LISTEN: hints that something is worth looking at. Everything also works, slower, when they are lost.

use std::pin::pin;
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::StreamExt;
use tracing::warn;

use super::StoreError;
use super::connection::connect;
use super::statement::{Bind, statement};
use crate::ready_hint::ReadyHint;

/// Deliveries became ready; the payload is a [`ReadyHint`].
pub const READY: &str = "reprise_ready";
/// Somewhere an express delivery became ready: somebody is waiting.
pub const EXPRESS: &str = "reprise_express";
/// An express attempt was recorded; the payload is its [`AttemptAnswer`](crate::attempt_answer::AttemptAnswer).
pub const RECORDED: &str = "reprise_recorded";

/// Between attempts to connect again.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The connection was made, or made again: anything may have been missed, so look at everything.
    Connected,
    /// A notification on one of the channels.
    Heard {
        /// [`READY`], [`EXPRESS`] or [`RECORDED`].
        channel: String,
        /// What the sender added.
        payload: String,
    },
}

/// Tells every dispatcher that something is ready, and where. The commit does not wait for the disk: it is only a hint.
///
/// # Errors
///
/// [`StoreError`]; the dispatchers will find it by polling all the same.
pub async fn notify_ready(
    conn: &mut AsyncPgConnection,
    hint: &ReadyHint,
) -> Result<(), StoreError> {
    statement("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)")
        .bind::<Text, _>(READY)
        .bind::<Text, _>(hint.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// Listens on `channels` for ever, on a connection of its own, and reconnects when that is lost. An outage is logged
/// when it begins, not at every attempt to end it.
///
/// Cancel safety: dropping the future closes the connection; nothing else is held.
pub async fn listen(database_url: &str, channels: &[&str], mut hear: impl FnMut(Notification)) {
    let mut is_lost = false;
    loop {
        let heard = listen_once(database_url, channels, |notification| {
            is_lost = false;
            hear(notification);
        });
        if let Err(error) = heard.await
            && !is_lost
        {
            is_lost = true;
            warn!(%error, "No connection for notifications, polling until it is back");
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

async fn listen_once(
    database_url: &str,
    channels: &[&str],
    mut hear: impl FnMut(Notification),
) -> Result<(), StoreError> {
    let mut conn = connect(database_url).await?;
    for channel in channels {
        conn.batch_execute(&format!("LISTEN {channel}")).await?;
    }
    hear(Notification::Connected);
    let mut notifications = pin!(conn.notifications_stream());
    while let Some(notification) = notifications.next().await {
        let notification = notification?;
        hear(Notification::Heard {
            channel: notification.channel,
            payload: notification.payload,
        });
    }
    Err(StoreError::Unavailable(
        "PostgreSQL closed the connection".to_owned(),
    ))
}
