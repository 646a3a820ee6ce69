//! Accounts for the memory of each client, and of all clients together.
//!
//! Memory is charged by capacity, from the moment it is allocated until it is freed. There are two ways:
//!
//! - A [`MemoryCharge`] is granted or refused at once. It covers memory that a client holds before
//!   its request is worked
//!   on: connections, open calls with their headers, the first bytes of each message, filters.
//! - A [`Share`] of the client's room is waited for. It covers what the work on a request takes, from the
//!   moment that its size is known: its message, unpacked if need be, the events on their way to the log, and
//!   the answer until the client has taken it. It is acquired once for the whole of a request: whoever waits
//!   for room holds none, so that requests cannot wait for each other in a circle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::fair::{Member, Pool, Share};
use super::{HeldKind, QuotaLimits};
use crate::service::Error;

/// The kind of a charge, beside the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// Open connections.
    Connections,
    /// Open calls: their state and their headers.
    Calls,
    /// Requests that are incomplete, or that wait for room.
    Receiving,
    /// Filters of open subscriptions.
    Filters,
    /// Counts of equal reads, for a minute.
    Reads,
}

impl MemoryKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Calls, Self::Receiving, Self::Filters, Self::Reads];

    /// A name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Calls => "calls",
            Self::Receiving => "receiving",
            Self::Filters => "filters",
            Self::Reads => "reads",
        }
    }
}

/// Bytes that are charged, by kind.
#[derive(Debug, Default)]
struct Bytes([AtomicUsize; MemoryKind::ALL.len()]);

impl Bytes {
    fn of(&self, kind: MemoryKind) -> usize {
        self.0.get(kind as usize).map_or(0, |bytes| bytes.load(Relaxed))
    }

    /// Adds bytes, and returns the sum.
    fn add(&self, kind: MemoryKind, bytes: usize) -> usize {
        self.0.get(kind as usize).map_or(0, |sum| sum.fetch_add(bytes, Relaxed) + bytes)
    }

    fn remove(&self, kind: MemoryKind, bytes: usize) {
        if let Some(sum) = self.0.get(kind as usize) {
            sum.fetch_sub(bytes, Relaxed);
        }
    }
}

/// The accounts of all clients together.
#[derive(Debug, Clone)]
pub struct Accounts {
    limits: QuotaLimits,
    charged: Arc<Bytes>,
    room: Pool,
}

/// The account of one client.
#[derive(Debug)]
pub struct Account {
    charged: Bytes,
    room: Member,
    all: Accounts,
}

/// Bytes on the account of a client until this is dropped.
#[derive(Debug)]
pub struct MemoryCharge {
    account: Arc<Account>,
    kind: MemoryKind,
    bytes: usize,
}

/// The memory of one account, or of all of them, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    charged: [usize; MemoryKind::ALL.len()],
    /// Bytes of requests in work, and of unread answers.
    pub room: usize,
}

impl Holding {
    /// Bytes of this kind.
    pub fn of(&self, kind: MemoryKind) -> usize {
        self.charged.get(kind as usize).copied().unwrap_or(0)
    }

    /// The total bytes.
    pub fn total(&self) -> usize {
        self.charged.iter().sum::<usize>() + self.room
    }
}

impl Accounts {
    /// Accounts without clients.
    pub fn new(limits: QuotaLimits) -> Self {
        let room = Pool::new(limits.waiting_bytes_in_all, limits.waiting_bytes);
        Self { limits, charged: Arc::default(), room }
    }

    /// The account of a new client.
    pub fn open(&self) -> Arc<Account> {
        let room = self.room.member();
        Arc::new(Account { charged: Bytes::default(), room, all: self.clone() })
    }

    /// The limits of one client; 0 for a kind without its own limit.
    pub fn limits(&self) -> Holding {
        let limit = |kind| match kind {
            MemoryKind::Connections | MemoryKind::Reads => 0,
            MemoryKind::Calls => CALL_BYTES_OF_ONE_MAX,
            MemoryKind::Receiving => self.limits.receiving_bytes,
            MemoryKind::Filters => FILTER_BYTES_OF_ONE_MAX,
        };
        Holding { charged: MemoryKind::ALL.map(limit), room: self.limits.waiting_bytes }
    }

    /// The memory of all clients.
    pub fn holding(&self) -> Holding {
        Holding {
            charged: MemoryKind::ALL.map(|kind| self.charged.of(kind)),
            room: self.room.used(),
        }
    }
}

impl Account {
    /// The memory of the client.
    pub fn holding(&self) -> Holding {
        Holding {
            charged: MemoryKind::ALL.map(|kind| self.charged.of(kind)),
            room: self.room.held(),
        }
    }

    /// The room for requests in work, and for answers.
    pub fn room(&self) -> &Member {
        &self.room
    }

    /// Charges bytes even beyond the limit, because they are in use already.
    pub fn charge(self: &Arc<Self>, kind: MemoryKind, bytes: usize) -> MemoryCharge {
        let mut charge = MemoryCharge { account: Arc::clone(self), kind, bytes: 0 };
        charge.set(bytes);
        charge
    }

    /// Charges bytes.
    ///
    /// # Errors
    /// If they exceed a limit; then nothing is charged.
    pub fn try_charge(
        self: &Arc<Self>,
        kind: MemoryKind,
        bytes: usize,
    ) -> Result<MemoryCharge, Error> {
        let mut charge = self.charge(kind, 0);
        charge.try_set(bytes)?;
        Ok(charge)
    }

    fn check(&self, kind: MemoryKind, own: usize, all: usize) -> Result<(), Error> {
        let limits = self.all.limits;
        let (what, limit, limit_in_all) = match kind {
            // The number of connections is limited by admission.
            MemoryKind::Connections | MemoryKind::Reads => return Ok(()),
            MemoryKind::Calls => (HeldKind::CallBytes, CALL_BYTES_OF_ONE_MAX, CALL_BYTES_MAX),
            MemoryKind::Receiving => {
                (HeldKind::ReceivingBytes, limits.receiving_bytes, limits.receiving_bytes_in_all)
            }
            MemoryKind::Filters => {
                (HeldKind::FilterBytes, FILTER_BYTES_OF_ONE_MAX, FILTER_BYTES_MAX)
            }
        };
        if own > limit {
            return Err(Error::TooMany { what, limit, total: false });
        }
        if all > limit_in_all && own > FREE_BYTES {
            return Err(Error::TooMany { what, limit: limit_in_all, total: true });
        }
        Ok(())
    }
}

/// What a client may hold even if all clients together hold too much, so that a client with little
/// memory is not refused.
const FREE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of open calls of one client, and of all clients.
const CALL_BYTES_OF_ONE_MAX: usize = 64 * 1024 * 1024;
const CALL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most bytes of filters of one client's subscriptions, and of those of all clients.
const FILTER_BYTES_OF_ONE_MAX: usize = 32 * 1024 * 1024;
const FILTER_BYTES_MAX: usize = 128 * 1024 * 1024;

impl MemoryCharge {
    /// The charged bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets the charged bytes, even beyond the limit.
    pub fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        let Account { charged, all, .. } = &*self.account;
        if let Some(more) = bytes.checked_sub(self.bytes) {
            charged.add(self.kind, more);
            all.charged.add(self.kind, more);
        } else {
            charged.remove(self.kind, self.bytes - bytes);
            all.charged.remove(self.kind, self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Sets the charged bytes.
    ///
    /// # Errors
    /// If they exceed a limit; then the charge does not change.
    pub fn try_set(&mut self, bytes: usize) -> Result<(), Error> {
        let before = self.bytes;
        let grows = bytes > before;
        self.set(bytes);
        let account = &self.account;
        let (own, all) = (account.charged.of(self.kind), account.all.charged.of(self.kind));
        if grows && let Err(error) = account.check(self.kind, own, all) {
            self.set(before);
            return Err(error);
        }
        Ok(())
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that hold a share of the room while any slice of them is in use. The share must cover
/// their capacity.
pub fn hold(bytes: Vec<u8>, share: Share) -> bytes::Bytes {
    bytes::Bytes::from_owner(HeldBytes { bytes, _share: share })
}

struct HeldBytes {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
