//! Spawns the tasks of a connection's streams, and keeps the handles that abort them.

use std::sync::Arc;

use hyper::rt::Executor;
use parking_lot::Mutex;

use super::flow::Reset;

/// Spawns tasks. hyper spawns the task of a stream right after it has called the service, on the
/// same thread, so the next task belongs to the last call.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    begun: Arc<Mutex<Option<Reset>>>,
}

impl Tasks {
    /// Notes that a call has begun. Returns the handle that will abort its task.
    pub fn begin(&self) -> Reset {
        let reset = Reset::default();
        *self.begun.lock() = Some(Arc::clone(&reset));
        reset
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let task = tokio::spawn(task);
        let begun = self.begun.lock().take();
        if let Some(reset) = begun {
            // Each call has one task.
            let _ = reset.set(task.abort_handle());
        }
    }
}
