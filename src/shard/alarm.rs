//! A panic on a shard's thread fails the process, in whichever of its tasks.
//!
//! Unwinding can't be relied on to say so: a task that panics ends its executor's thread, and what the tasks beside it hold need not be dropped meanwhile. Nobody would
//! hear that the shard takes nothing in any more. The panic hook runs before anything unwinds, on the thread that panics.
//!
//! Helper threads have no alarm: their panics are caught, and become the failure of the operation (see [`blocking`](super::blocking)).

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

use crossbeam_channel::Sender;

use crate::store::error::StorageError;

/// Who hears of a panic, and of which thread.
struct Alarm {
    thread: String,
    failures: Sender<StorageError>,
}

thread_local! {
    static ALARM: RefCell<Option<Alarm>> = const { RefCell::new(None) };
}

/// From now on the first panic on this thread, by whatever name, is sent to `failures` as one of `thread`, after it was printed.
pub(super) fn arm(thread: String, failures: Sender<StorageError>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            print(info);
            ring();
        }));
    });
    ALARM.set(Some(Alarm { thread, failures }));
}

/// Reports this thread, if it has an alarm that did not ring before.
fn ring() {
    let alarm = ALARM.try_with(|alarm| alarm.try_borrow_mut().ok()?.take());
    if let Ok(Some(Alarm { thread, failures })) = alarm {
        let message = "see above; it takes nothing in any more".to_owned();
        let _ = failures.send(StorageError::Panicked { thread, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutorBuilder;

    #[test]
    fn a_panic_in_a_detached_task_is_reported_while_the_main_one_waits() {
        let (failures, failed) = crossbeam_channel::unbounded();
        let shard = move || async move {
            arm("shard-7".to_owned(), failures);
            glommio::spawn_local(async { panic!("on purpose, by a test") }).detach();
            std::future::pending::<()>().await;
        };
        let thread = LocalExecutorBuilder::default().spawn(shard).expect("a thread");
        assert!(matches!(failed.recv(), Ok(StorageError::Panicked { thread, .. }) if thread == "shard-7"));
        assert!(thread.join().is_err());
        assert!(failed.is_empty());
    }
}
