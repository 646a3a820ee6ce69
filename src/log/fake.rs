//! A log for tests of its readers and writers: others append to it, and it is away or silent
//! when a test says so. What has arrived here is in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::filter::TypeSet;
use crate::log::{
    Append, Appended, Bounds, BoxFuture, Error, Extent, HoldReport, Identity, MemoryLog,
    ReadFuture, ReadHint, RetentionHold, Sequencer, State, Store, TailKind,
};
use crate::record::{Draft, Sequence};
use crate::time::Time;

/// How long the whole log takes to answer.
pub const ANSWER_TIME: Duration = Duration::from_millis(100);

/// The log.
pub struct FakeSharedLog {
    pub here: MemoryLog,
    /// The newest record of the whole log.
    pub tail: Mutex<Sequence>,
    /// The tail cannot be asked for.
    pub is_away: AtomicBool,
    pub identity: watch::Sender<Identity>,
    /// What older epochs have left.
    pub kept: Mutex<Option<Sequence>>,
    pub state: watch::Sender<State>,
    /// What becomes of appends, unless they are accepted.
    pub fault: Mutex<Option<AppendFault>>,
    pub appends: AtomicU64,
    asking: AtomicU64,
    /// How often the tail was asked for.
    pub asked: AtomicU64,
}

/// What is wrong with appends.
#[derive(Debug, Clone)]
pub enum AppendFault {
    Refused(Error),
    /// There is no answer.
    Silent {
        /// The records are stored all the same.
        is_stored: bool,
    },
}

impl FakeSharedLog {
    /// An empty log in this epoch.
    pub fn new(epoch: u64) -> Self {
        let here = MemoryLog::new(Bounds::default());
        let identity = *here.identity().borrow();
        Self {
            here,
            tail: Mutex::new(Sequence::ZERO),
            is_away: AtomicBool::new(false),
            identity: watch::Sender::new(Identity { kind: "shared", epoch, ..identity }),
            kept: Mutex::new(None),
            state: watch::Sender::new(State::Ready),
            fault: Mutex::new(None),
            appends: AtomicU64::new(0),
            asking: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    /// Lets appends fail, or not.
    pub fn fail(&self, fault: Option<AppendFault>) {
        *self.fault.lock() = fault;
    }
}

impl Sequencer for FakeSharedLog {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        Box::pin(async move {
            self.appends.fetch_add(1, Ordering::Relaxed);
            let fault = self.fault.lock().clone();
            match fault {
                None => self.here.append(drafts, append).await,
                Some(AppendFault::Refused(error)) => Err(error),
                Some(AppendFault::Silent { is_stored }) => {
                    if is_stored {
                        self.here.append(drafts, append).await?;
                    }
                    std::future::pending().await
                }
            }
        })
    }

    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        assert_eq!(tail, TailKind::Consistent);
        Box::pin(async {
            /// Counts the question as asked until it is answered or dropped.
            struct Asking<'a>(&'a AtomicU64);
            impl Drop for Asking<'_> {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::Relaxed);
                }
            }
            let before = self.asking.fetch_add(1, Ordering::Relaxed);
            let _asking = Asking(&self.asking);
            assert_eq!(before, 0, "one at a time");
            self.asked.fetch_add(1, Ordering::Relaxed);
            let tail = *self.tail.lock();
            sleep(ANSWER_TIME).await;
            if self.is_away.load(Ordering::Relaxed) {
                return Err(Error::Away { why: "there is no leader".to_owned() });
            }
            Ok(tail)
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.identity.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.here.close()
    }
}

impl Store for FakeSharedLog {
    fn extent(&self) -> Extent {
        self.here.extent()
    }

    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a> {
        self.here.read(at, hint)
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.here.accepted_since(time)
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        self.here.find(id, types)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.here.changes()
    }

    fn kept_of_epoch(&self, epoch: u64) -> Option<Sequence> {
        let present = self.identity.borrow().epoch;
        (*self.kept.lock()).filter(|_| epoch < present)
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.here.hold(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.here.holds()
    }
}
