//! Chooses which connections of the admin listener stay open.
//!
//! A probe sends its request as soon as it has connected, and gets a small answer. So a new
//! connection is always accepted. If there are too many, the client with the most connections loses
//! its oldest one, first those without a request. Clients that hold idle connections only push out
//! their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::network::Network;

/// The most connections at once: a few scrapers and probes.
pub const CONNECTIONS_MAX: usize = 64;
/// The most connections of one client at once.
pub const CONNECTIONS_PER_CLIENT_MAX: usize = 16;

/// The open connections, oldest first.
#[derive(Debug, Default)]
pub struct ConnectionSlots {
    open: Mutex<OpenSlots>,
}

#[derive(Debug, Default)]
struct OpenSlots {
    next: u64,
    by_age: BTreeMap<u64, HeldSlot>,
}

/// The state of a connection.
#[derive(Debug)]
struct HeldSlot {
    client: Network,
    state: Arc<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// Whether the connection has sent a request.
    asked: AtomicBool,
    /// Cancelled when the connection must give up its slot.
    cut: CancellationToken,
}

/// The slot of one connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    number: u64,
    state: Arc<ConnectionState>,
}

impl ConnectionSlots {
    /// Takes a slot for a new connection of `client`. Also returns the client of the connection
    /// that must close for it, if any.
    pub fn take(self: &Arc<Self>, client: Network) -> (ConnectionSlot, Option<Network>) {
        let mut open = self.lock();
        let cut = open.victim(client).and_then(|victim| open.by_age.remove(&victim));
        let cut = cut.map(|cut| {
            cut.state.cut.cancel();
            cut.client
        });
        let (number, state) = (open.next, Arc::<ConnectionState>::default());
        open.next += 1;
        open.by_age.insert(number, HeldSlot { client, state: Arc::clone(&state) });
        (ConnectionSlot { slots: Arc::clone(self), number, state }, cut)
    }

    fn lock(&self) -> MutexGuard<'_, OpenSlots> {
        self.open.lock()
    }
}

impl OpenSlots {
    /// The connection that must make room for a new one of `client`, if any.
    fn victim(&self, client: Network) -> Option<u64> {
        let mut counts: HashMap<Network, usize> = HashMap::new();
        for held in self.by_age.values() {
            *counts.entry(held.client).or_default() += 1;
        }
        let own = counts.get(&client).copied().unwrap_or_default();
        let loser = if own >= CONNECTIONS_PER_CLIENT_MAX {
            client
        } else if self.by_age.len() >= CONNECTIONS_MAX {
            counts.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        let of_loser = self.by_age.iter().filter(|(_, held)| held.client == loser);
        let by_use = of_loser
            .min_by_key(|(number, held)| (held.state.asked.load(Ordering::Relaxed), **number));
        by_use.map(|(number, _)| *number)
    }
}

impl ConnectionSlot {
    /// Records that the connection has sent a request.
    pub fn note_request(&self) {
        self.state.asked.store(true, Ordering::Relaxed);
    }

    /// Waits until the connection must give up its slot.
    pub async fn cut(&self) {
        self.state.cut.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> Network {
        Network::of([10, 0, 0, number as u8].into())
    }

    fn is_cut(slot: &ConnectionSlot) -> bool {
        slot.state.cut.is_cancelled()
    }

    #[test]
    fn a_client_pushes_out_its_own_connections() {
        let slots = Arc::new(ConnectionSlots::default());
        let (other, _) = slots.take(client(2));
        let own: Vec<ConnectionSlot> =
            (0..CONNECTIONS_PER_CLIENT_MAX).map(|_| slots.take(client(1)).0).collect();
        own[0].note_request();
        assert!(!own.iter().any(is_cut));
        let (newest, cut) = slots.take(client(1));
        assert_eq!(cut, Some(client(1)));
        assert!(is_cut(&own[1]), "the oldest that has not asked");
        for kept in [&own[0], &own[2], &other, &newest] {
            assert!(!is_cut(kept));
        }
        drop(own);
        assert_eq!(slots.lock().by_age.len(), 2);
    }

    #[test]
    fn whoever_holds_most_gives_a_slot_to_others() {
        let slots = Arc::new(ConnectionSlots::default());
        let take = |of: usize, count| {
            (0..count).map(|_| (of, slots.take(client(of)).0)).collect::<Vec<_>>()
        };
        let mut held: Vec<_> =
            (1..=8).flat_map(|of| take(of, if of == 3 { 10 } else { 7 })).collect();
        held.extend(take(20, CONNECTIONS_MAX - held.len()));
        let (new, cut) = slots.take(client(21));
        assert_eq!(cut, Some(client(3)));
        assert!(!is_cut(&new));
        let cut: Vec<usize> =
            held.iter().filter(|(_, slot)| is_cut(slot)).map(|(of, _)| *of).collect();
        assert_eq!(cut, [3]);
        assert_eq!(slots.lock().by_age.len(), CONNECTIONS_MAX);
    }
}
