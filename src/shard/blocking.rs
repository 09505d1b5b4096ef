//! File operations on the executor's helper threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::store::error::StorageError;

/// Runs `operation` on a helper thread. A panic in there would end the thread and leave the shard waiting for ever: it becomes a failure of the store.
pub(super) async fn blocking<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> Result<T, StorageError> {
    // What the operation held is dropped; nothing of it is used again but the report.
    let caught = glommio::executor().spawn_blocking(move || catch_unwind(AssertUnwindSafe(operation))).await;
    caught.map_err(|_| StorageError::Panicked { thread: "shard's file helper".to_owned(), message: "see above".to_owned() })
}
