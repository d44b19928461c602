//! A connection while something is done with it.

use std::ops::{Deref, DerefMut};

use diesel_async::pooled_connection::bb8::PooledConnection;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};

/// A connection that the pool throws away when it is dropped, unless what was done with it has ended well. Work may be
/// dropped at any point, with a statement under way whose end the connection's next user would have to wait for.
pub(super) struct InUse<'a> {
    connection: PooledConnection<'a, AsyncPgConnection>,
    is_kept: bool,
}

impl<'a> InUse<'a> {
    pub(super) fn new(connection: PooledConnection<'a, AsyncPgConnection>) -> Self {
        Self {
            connection,
            is_kept: false,
        }
    }

    /// Gives it back to the pool: what was done has ended, and it is as good as before.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // The pool asks for this before it takes one back.
            AnsiTransactionManager::transaction_manager_status_mut(&mut *self.connection)
                .set_in_error();
        }
    }
}

impl Deref for InUse<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for InUse<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}
