//! Notices about the gateways of a client, for people.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{Refusal, SERVERS_MAX};

/// The client changes to another gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerNotice {
    /// A gateway was lost.
    Lost {
        /// Its URL.
        server: String,
        /// The URL of the one that is tried next.
        next: String,
        /// The error.
        reason: Refusal,
    },
    /// Another gateway answers.
    Connected {
        /// Its URL.
        server: String,
    },
}

impl std::fmt::Display for ServerNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost { server, next, reason } => {
                write!(f, "lost {server}: {reason}; continuing at {next}")
            }
            Self::Connected { server } => write!(f, "connected to {server}"),
        }
    }
}

type Listener = Box<dyn Fn(&ServerNotice) + Send + Sync>;

/// Sends notices. While all gateways fail, each one is reported once.
#[derive(Default)]
pub(super) struct Notices {
    listener: Mutex<Option<Listener>>,
    /// Notices from before there was a listener.
    early: Mutex<Vec<ServerNotice>>,
    /// Gateways that were reported since the last answer.
    told: Mutex<Vec<(String, String)>>,
    /// Whether a gateway was lost since the last answer.
    lost: AtomicBool,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Notices {
    pub fn listen(&self, listener: Listener) {
        // The lock is held first, so that a notice sent meanwhile reaches the listener.
        let mut listening = self.listener.lock();
        let early = std::mem::take(&mut *self.early.lock());
        early.iter().for_each(&listener);
        *listening = Some(listener);
    }

    pub fn add(&self, notice: ServerNotice) {
        if let ServerNotice::Lost { server, reason, .. } = &notice {
            self.lost.store(true, Ordering::Relaxed);
            let key = (server.clone(), reason.message.clone());
            let mut told = self.told.lock();
            if told.contains(&key) || told.len() >= 2 * SERVERS_MAX {
                return;
            }
            told.push(key);
        }
        self.send(notice);
    }

    /// Notes that a gateway has answered.
    pub fn answered(&self, server: &str) {
        if !self.lost.load(Ordering::Relaxed) || !self.lost.swap(false, Ordering::Relaxed) {
            return;
        }
        self.told.lock().clear();
        self.send(ServerNotice::Connected { server: server.to_owned() });
    }

    /// Passes a notice to the listener, or keeps it until there is one.
    pub fn send(&self, notice: ServerNotice) {
        match &*self.listener.lock() {
            Some(listener) => listener(&notice),
            None => {
                let mut early = self.early.lock();
                if early.len() < 2 * SERVERS_MAX {
                    early.push(notice);
                }
            }
        }
    }
}
