//! `Idempotency-Key`: a repeat of a request gets the first one's answer, and does nothing.

use std::future::Future;
use std::time::Duration;

use actix_web::HttpRequest;
use diesel_async::AsyncConnection;
use reprise_core::store::AsyncPgConnection;
use reprise_core::store::idempotency_keys::{self, Begun, KeyedRequest};
use reprise_core::store::turns::{Turn, TurnKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::state::AppState;

const HEADER: &str = "Idempotency-Key";
const MAX_BYTES: usize = 255;
/// How long a repeat waits for others with its key. It then has the store's deadline for itself, which together is less
/// than the 30 s after which clients give up.
const TURN_DEADLINE: Duration = Duration::from_secs(10);

/// The key of a request, with what it stands for.
pub struct Key {
    caller: Caller,
    key: String,
    method: String,
    path: String,
    fingerprint: [u8; 32],
}

impl Key {
    /// Reads the header, if there is one. `path` is the request's with its ids as they are written by us: a path has
    /// many spellings.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadIdempotencyKey`] when it is malformed or comes twice.
    pub fn read(
        request: &HttpRequest,
        caller: &Caller,
        path: String,
        body: &[u8],
    ) -> Result<Option<Self>, ApiError> {
        let mut values = request.headers().get_all(HEADER);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let key = value.to_str().map_err(|_| ApiError::BadIdempotencyKey)?;
        let is_good =
            (1..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_good || values.next().is_some() {
            return Err(ApiError::BadIdempotencyKey);
        }
        Ok(Some(Self {
            caller: caller.clone(),
            key: key.to_owned(),
            method: request.method().to_string(),
            path,
            fingerprint: Sha256::digest(body).into(),
        }))
    }

    fn request(&self) -> KeyedRequest<'_> {
        KeyedRequest {
            tenant_id: self.caller.tenant_id,
            key: &self.key,
            method: &self.method,
            path: &self.path,
            fingerprint: self.fingerprint,
        }
    }

    /// Waits until no other request of this process with the same key is under way.
    async fn turn(&self, state: &AppState) -> Result<Turn, ApiError> {
        let turn = state.database.turn(self.turn_key());
        timeout(TURN_DEADLINE, turn).await.map_err(|_| {
            ApiError::Unavailable("a request with the same Idempotency-Key is under way".to_owned())
        })
    }

    /// What a key stands for; neither part holds a line break.
    fn turn_key(&self) -> TurnKey {
        let whose = self.caller.tenant_id;
        let whole = format!("{whose}\n{}\n{}\n{}", self.key, self.method, self.path);
        Sha256::digest(whole).into()
    }
}

/// What a keyed request does.
pub trait KeyedWork: Send {
    /// Does it, in the caller's transaction if there is one, and returns the answer to be kept.
    fn run(
        self,
        conn: &mut AsyncPgConnection,
    ) -> impl Future<Output = Result<Vec<u8>, ApiError>> + Send;
}

/// Does `work` once per key and returns its answer; without a key, each time. The answer and what `work` stores are one
/// commit.
///
/// The connection is taken when it is this request's turn: a repeat that comes while the first is running waits without
/// one. Else a few repeats of a slow request would hold every connection there is. Requests to other processes wait
/// inside PostgreSQL.
///
/// # Errors
///
/// What `work` returns, with nothing kept; [`ApiError::IdempotencyConflict`] for the same key with another body;
/// [`ApiError::Unavailable`] when PostgreSQL is away, or the first one takes too long.
pub async fn once_in_turn(
    state: &AppState,
    key: Option<&Key>,
    work: impl KeyedWork,
) -> Result<Vec<u8>, ApiError> {
    let _turn = match key {
        Some(key) => Some(key.turn(state).await?),
        None => None,
    };
    state
        .with_connection(async |conn| once(conn, key, work).await)
        .await
}

/// [`once_in_turn`], when it is its turn in this process.
async fn once(
    conn: &mut AsyncPgConnection,
    key: Option<&Key>,
    work: impl KeyedWork,
) -> Result<Vec<u8>, ApiError> {
    let Some(key) = key else {
        return work.run(conn).await;
    };
    conn.transaction(async move |conn| {
        let request = key.request();
        match idempotency_keys::begin(conn, &request).await? {
            Begun::Answered(answer) => Ok(answer),
            Begun::Conflict => Err(ApiError::IdempotencyConflict),
            Begun::First => {
                let answer = work.run(conn).await?;
                idempotency_keys::complete(conn, &request, &answer).await?;
                Ok(answer)
            }
        }
    })
    .await
}

/// An answer as bytes, to be kept and sent.
///
/// # Errors
///
/// [`ApiError::Internal`] when it can't be written as JSON.
pub fn answer(body: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(body).map_err(|error| ApiError::Internal(error.to_string()))
}
