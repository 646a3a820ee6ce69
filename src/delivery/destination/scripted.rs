//! A destination whose answers a test decides.

use std::fmt;
use std::sync::Arc;

use super::{Destination, Reply};
use crate::delivery::batch::Batch;
use crate::log::BoxFuture;

/// Answers for the ids of a batch.
type Script = dyn Fn(Vec<String>) -> BoxFuture<'static, Reply> + Send + Sync;

/// A destination with the answers of a test.
#[derive(Clone)]
pub struct Scripted {
    /// The name in its identity.
    pub name: &'static str,
    /// Its answers.
    pub script: Arc<Script>,
}

impl Scripted {
    /// A destination with these answers.
    pub fn new<F>(
        name: &'static str,
        script: impl Fn(Vec<String>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self { name, script: Arc::new(move |ids| Box::pin(script(ids))) }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Scripted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.script, &other.script)
    }
}

impl Eq for Scripted {}

impl Destination for Scripted {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        (self.script)(batch.iter().map(|item| item.id()).collect())
    }
}
