//! Reads of a copy, against the same reads of a log on disk.

use std::sync::Arc;

use auditgate::log::{Log, Store as _};

use super::{DISK, Member, Place, disk_log};
use crate::fanout::{HUNDRED_RECORDS, Requests, fan_out};
use crate::history::{History, Wanted};
use crate::ring;
use crate::rounds::{Better, Duel, Row, Took};
use crate::stage::Served;
use crate::{Result, Scale, ensure};

const SUBSCRIBERS: usize = 100;

/// Searches, by a user.
pub fn search(place: &Place, scale: Scale) -> Result<Row> {
    let count = scale.pick(200_000, 2_000);
    let Member { log, _folder } = place.member("search")?;
    let shared = History::on(log, count)?;
    let (disk, _own) = disk_log()?;
    let disk = History::on(disk, count)?;
    let wanted: Vec<Wanted> = (0..scale.pick(400, 5)).map(Wanted::user).collect();
    let name = "shared_search";
    let duel = Duel { name, unit: "us p50", better: Better::Less, peer: DISK };
    duel.run(scale.rounds(), || shared.search_all(&wanted), || disk.search_all(&wanted))
}

/// One subscriber, from the oldest record to the newest.
pub fn subscribe(place: &Place, scale: Scale) -> Result<Row> {
    let count = scale.pick(200_000, 2_000);
    let Member { log, _folder } = place.member("subscribe")?;
    let (disk, _own) = disk_log()?;
    for log in [Arc::clone(&log) as Arc<dyn Log>, Arc::clone(&disk)] {
        History::on(log, count)?;
    }
    let last = log.extent().last.0;
    ensure(last == count, || format!("{last} of {count} records were appended"))?;
    let read = |log: Arc<dyn Log>| {
        place.stage.run(async move { Ok(ring::read(log, count).await?.rate(count as f64)) })
    };
    let name = "shared_subscribe";
    let duel = Duel { name, unit: "records/s", better: Better::More, peer: DISK };
    duel.run(scale.rounds(), || read(Arc::clone(&log) as Arc<dyn Log>), || read(Arc::clone(&disk)))
}

/// A hundred subscribers, while records come. The processor time is that of the subscribers alone:
/// to append as many records without any is measured before, and left out.
pub fn fan_out_to_100(place: &Place, scale: Scale) -> Result<Row> {
    let (shared, disk) = (place.gateway("fanout")?, place.disk_gateway()?);
    let records = scale.pick(HUNDRED_RECORDS, 500);
    let requests = Requests::new(records);
    let rate = |served: &Served| {
        let round = |subscribers| {
            place.stage.run(fan_out(served.address, subscribers, requests.take(), records))
        };
        let appends = round(0)?.took.cpu;
        let outcome = round(SUBSCRIBERS)?;
        let cpu = outcome.took.cpu.saturating_sub(appends);
        Ok(Took { cpu, ..outcome.took }.rate(outcome.records as f64))
    };
    let name = "shared_fanout_100";
    let duel = Duel { name, unit: "deliveries/s", better: Better::More, peer: DISK };
    duel.run(scale.rounds(), || rate(&shared.served), || rate(&disk.served))
}
