//! Ends an open stream when its caller loses its rights.

use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::{AccessControl, Caller, Error};

/// Checks the caller of an open stream until the stream ends.
pub struct StreamAuth {
    access: Arc<AccessControl>,
    caller: Arc<Caller>,
    changes: watch::Receiver<u64>,
}

/// Why the authorization of a stream ended.
#[derive(Debug)]
pub enum StreamAuthEnd {
    /// The credentials are no longer valid.
    Refused(Error),
    /// The access state has changed: the caller with its new grants.
    Changed(Arc<Caller>),
}

impl StreamAuth {
    /// Starts to watch the access of `caller`.
    pub fn new(access: &Arc<AccessControl>, caller: Arc<Caller>) -> Self {
        let mut changes = access.changes();
        // The caller may have been admitted before the last change.
        let is_old = *changes.borrow_and_update() != caller.generation;
        if is_old && !access.is_open() {
            changes.mark_changed();
        }
        Self { access: Arc::clone(access), caller, changes }
    }

    /// The caller at the last check.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Checks the caller again if the state has changed or the credentials have expired. Cheap
    /// otherwise.
    pub fn check(&mut self) -> Option<StreamAuthEnd> {
        let is_same = !self.changes.has_changed().unwrap_or(false);
        (!is_same || self.caller.has_expired()).then(|| self.look())
    }

    /// Waits until the caller must be checked again. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> StreamAuthEnd {
        let expiry = self.caller.expires;
        let expired = async {
            match expiry {
                Some(expires) => {
                    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
                    tokio::time::sleep(left).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            changed = self.changes.changed() => {
                if changed.is_err() {
                    // The access control is gone: nothing changes any more.
                    return pending().await;
                }
            }
            () = expired => {}
        }
        self.look()
    }

    fn look(&mut self) -> StreamAuthEnd {
        self.changes.mark_unchanged();
        match self.access.refresh(&self.caller) {
            Ok(caller) => {
                self.caller = Arc::clone(&caller);
                StreamAuthEnd::Changed(caller)
            }
            Err(error) => StreamAuthEnd::Refused(error),
        }
    }
}
