//! Gateways on one shared log, whose stream is in memory. A gateway's link to the stream can
//! be held up: its copy of the log then falls behind.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auditgate::log::disk;
use auditgate::log::shared::machine::WindowLimits;
use auditgate::log::shared::message::{AuthenticationKey, ClusterKeys};
use auditgate::log::shared::publisher::PublishTimes;
use auditgate::log::shared::shared_log::{Config, SharedLog};
use auditgate::log::shared::stream::{
    LiveReceiver, LiveSender, READ_ENTRIES_MAX, Stream, StreamEnds, StreamEntry, StreamError,
    StreamSettings, live_channel,
};
use auditgate::log::{BoxFuture, Log, Sequencer as _, State};
use auditgate::server::{self, Gateway};
use auditgate::time::Time;
use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use uuid::Uuid;

use super::soon;

/// The stream.
#[derive(Default)]
pub struct MemoryStream {
    entries: Mutex<Vec<StreamEntry>>,
    listeners: Mutex<Vec<Listener>>,
    is_away: AtomicBool,
}

/// Where live messages go.
struct Listener {
    is_held: Arc<AtomicBool>,
    sender: LiveSender,
}

/// A gateway's link to the stream.
pub struct StreamLink {
    stream: Arc<MemoryStream>,
    /// Messages do not come.
    is_held: Arc<AtomicBool>,
}

/// A gateway on the stream.
pub struct SharedGateway {
    pub gateway: Gateway,
    pub log: Arc<SharedLog>,
    pub link: Arc<StreamLink>,
    _folder: TempDir,
}

impl MemoryStream {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether nothing is stored or answered.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StreamError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StreamError::Unknown("there is no leader".into()));
        }
        Ok(())
    }

    fn store(&self, bytes: Bytes) -> u64 {
        let mut entries = self.entries.lock();
        let position = entries.len() as u64 + 1;
        let entry = StreamEntry { position, timestamp: Time::now(), bytes };
        entries.push(entry.clone());
        self.listeners.lock().retain(|listener| {
            listener.is_held.load(Ordering::SeqCst) || listener.sender.send(entry.clone())
        });
        position
    }
}

impl StreamLink {
    pub fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::SeqCst);
    }
}

impl Stream for StreamLink {
    fn settings(&self) -> StreamSettings {
        StreamSettings {
            log_id: Uuid::from_u128(0x7e57),
            window: WindowLimits::default(),
            message_bytes_max: 8 * 1024 * 1024,
        }
    }

    fn append(&self, message: Bytes) -> BoxFuture<'_, Result<u64, StreamError>> {
        Box::pin(async move {
            self.stream.check()?;
            Ok(self.stream.store(message))
        })
    }

    fn live(&self) -> BoxFuture<'_, Result<LiveReceiver, StreamError>> {
        Box::pin(async move {
            self.stream.check()?;
            let (sender, receiver) = live_channel();
            let is_held = Arc::clone(&self.is_held);
            self.stream.listeners.lock().push(Listener { is_held, sender });
            Ok(receiver)
        })
    }

    fn read(
        &self,
        from: u64,
        _from_leader: bool,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StreamError>> {
        Box::pin(async move {
            self.stream.check()?;
            if self.is_held.load(Ordering::SeqCst) {
                return Err(StreamError::Unknown("it is held up".into()));
            }
            let entries = self.stream.entries.lock();
            let skip = from.saturating_sub(1) as usize;
            Ok(entries.iter().skip(skip).take(READ_ENTRIES_MAX).cloned().collect())
        })
    }

    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>> {
        Box::pin(async move {
            self.stream.check()?;
            Ok(StreamEnds { first: 1, last: self.stream.entries.lock().len() as u64 })
        })
    }
}

/// A log on the stream, with its copy in `folder`.
pub async fn open(folder: &TempDir, link: Arc<StreamLink>, disk: disk::Config) -> Arc<SharedLog> {
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path(), private).expect("its owner sets its mode");
    let key = AuthenticationKey::new(&[7; 32], link.settings().log_id);
    let times = PublishTimes {
        repeat: Duration::from_millis(200),
        retry: Duration::from_millis(20),
        give_up: Duration::from_secs(2),
    };
    let keys = ClusterKeys::new(key, Vec::new());
    let config = Config { disk, keys, times, epoch_key: None };
    let opened = async {
        loop {
            let opened = SharedLog::open(folder.path(), config.clone(), Arc::clone(&link) as _);
            match opened.await {
                // The one before lets go of the folder soon.
                Err(error) if error.to_string().contains("in use") => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => break opened.expect("a log"),
            }
        }
    };
    let (log, notices) = soon(opened).await;
    assert_eq!(notices, []);
    let mut state = log.state();
    soon(state.wait_for(|state| *state == State::Ready)).await.expect("it goes on");
    Arc::new(log)
}

pub fn link(stream: &Arc<MemoryStream>) -> Arc<StreamLink> {
    Arc::new(StreamLink { stream: Arc::clone(stream), is_held: Arc::default() })
}

/// A gateway on the stream.
pub async fn start(stream: &Arc<MemoryStream>, config: server::Config) -> SharedGateway {
    let folder = tempfile::tempdir().expect("a folder");
    let link = link(stream);
    let log = open(&folder, Arc::clone(&link), disk::Config::default()).await;
    let gateway = Gateway::start_on(config, Arc::clone(&log) as Arc<dyn Log>).await;
    SharedGateway { gateway: gateway.expect("a free port"), log, link, _folder: folder }
}
