//! A hub, a delivery, and a destination that keeps what it accepts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::delivery::destination::scripted::Scripted;
use crate::delivery::destination::{Config, ItemReplies, Reply};
use crate::delivery::format::FormatName;
use crate::delivery::{BatchLimits, Deliveries, DeliveryConfig, DeliveryReport, DeliveryStart};
use crate::event::EVENT_BYTES_MAX;
use crate::hub::Hub;
use crate::log::{Append, Bounds, MemoryLog};
use crate::proto::pb;
use crate::record::{Draft, EmitterIdentity};
use crate::time::Time;

/// A hub, a directory, and what a destination got.
pub struct Scene {
    pub hub: Arc<Hub>,
    folder: tempfile::TempDir,
    pub got: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    pub fn new(records: usize) -> Self {
        let log = Arc::new(MemoryLog::new(Bounds { bytes: 64 * 1024 * 1024, records }));
        Self {
            hub: Hub::new(log, CancellationToken::new()),
            folder: tempfile::tempdir().expect("a folder"),
            got: Arc::default(),
        }
    }

    pub async fn emit(&self, numbers: std::ops::RangeInclusive<u64>) {
        let emitter = EmitterIdentity::from(pb::Emitter::default());
        let intake = crate::content::EventIntake { event_bytes: EVENT_BYTES_MAX, policy: None };
        let drafts = numbers.map(|number| {
            let event = pb::Event {
                id: Some(format!("e-{number}")),
                user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
                payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
                ..Default::default()
            };
            let event = intake.admit(event.encode_to_vec().into(), Time::now()).expect("an event");
            Draft::new(event, &emitter)
        });
        let drafts: Vec<Draft> = drafts.collect();
        for drafts in drafts.chunks(100) {
            let append = Append::AllOrNothing { validate_only: false };
            self.hub.append(drafts, append).await.expect("appended");
        }
    }

    /// A destination that keeps what `answer` accepts.
    pub fn destination(
        &self,
        name: &'static str,
        answer: impl Fn(&[String]) -> Reply + Send + Sync + 'static,
    ) -> Config {
        let got = Arc::clone(&self.got);
        Config::Scripted(Scripted::new(name, move |ids| {
            let reply = answer(&ids);
            match &reply {
                Reply::Accepted { .. } => got.lock().extend(ids),
                Reply::ItemByItem(ItemReplies { rejected, unavailable, .. }) => {
                    let missing = |at: &usize| {
                        rejected.iter().any(|(position, _)| position == at)
                            || unavailable.contains(at)
                    };
                    let accepted = ids.into_iter().enumerate().filter(|(at, _)| !missing(at));
                    got.lock().extend(accepted.map(|(_, id)| id));
                }
                _ => {}
            }
            std::future::ready(reply)
        }))
    }

    pub fn start(&self, config: DeliveryConfig) -> Arc<Deliveries> {
        self.start_with_changes(config).0
    }

    pub fn start_with_changes(&self, config: DeliveryConfig) -> (Arc<Deliveries>, Vec<String>) {
        Deliveries::start(&self.hub, Some(self.directory()), vec![config]).expect("they start")
    }

    pub fn directory(&self) -> &Path {
        self.folder.path()
    }

    /// The sequences that the destination got, in their order.
    pub fn sequences(&self) -> Vec<u64> {
        let got = self.got.lock();
        got.iter().filter_map(|id| id.rsplit('/').next()?.parse().ok()).collect()
    }

    pub async fn until(&self, what: impl Fn(&Self) -> bool) {
        let waited = timeout(Duration::from_secs(120), async {
            while !what(self) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("it comes in time");
    }
}

pub fn config(destination: Config) -> DeliveryConfig {
    DeliveryConfig {
        name: "siem".into(),
        format: FormatName::Json,
        filter: pb::Filter::default(),
        start: DeliveryStart::Earliest,
        batch: BatchLimits { records: 100, bytes: 1024 * 1024, time: Duration::from_secs(1) },
        in_flight: 1,
        hold: None,
        destination,
        elsewhere: None,
    }
}

pub fn report(deliveries: &Deliveries) -> DeliveryReport {
    deliveries.list().into_iter().next().expect("one delivery")
}
