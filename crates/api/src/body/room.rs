//! How much memory the bodies of all requests may take together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;

/// Bytes of all bodies together, from when they come until their requests are answered; what is made of a body takes as
/// much again for a moment. Less, and a few batches wait for each other; more, and it is the machine's memory that
/// ends.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What is taken at once: the semaphore is asked once for an ordinary body, and counts in 32 bits.
const STEP: usize = 64 * 1024;
/// How long a body waits for room. Longer, and clients give up first.
const PATIENCE: Duration = Duration::from_secs(5);

/// The room for bodies.
#[derive(Debug)]
pub struct BodyRoom {
    steps: Arc<Semaphore>,
}

impl Default for BodyRoom {
    fn default() -> Self {
        Self::new(MAX_BYTES)
    }
}

impl BodyRoom {
    /// Room for so many bytes, counted in whole steps.
    pub fn new(bytes: usize) -> Self {
        Self {
            steps: Arc::new(Semaphore::new(bytes / STEP)),
        }
    }

    /// What a body takes of it: nothing yet.
    pub fn place(&self) -> BodyPlace {
        BodyPlace {
            room: Arc::clone(&self.steps),
            taken: None,
        }
    }
}

/// What one body takes of the room, until it is dropped. It grows with what has come and not by what is announced, so
/// that nobody takes room away from others without filling it.
#[derive(Debug)]
pub struct BodyPlace {
    room: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl BodyPlace {
    /// Takes room for so many bytes in all.
    ///
    /// # Errors
    ///
    /// [`ApiError::NoRoomForBody`] when there is none for some seconds.
    pub async fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let taken = self.taken.as_ref().map_or(0, |taken| taken.num_permits());
        let missing = bytes.div_ceil(STEP).saturating_sub(taken);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.room).acquire_many_owned(missing);
        let Ok(Ok(more)) = timeout(PATIENCE, more).await else {
            return Err(ApiError::NoRoomForBody);
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}
