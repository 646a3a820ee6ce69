//! How fast a new gateway comes to have the whole log.

use std::sync::Arc;

use auditgate::log::{Sequencer as _, Store as _};
use tokio::task::JoinSet;

use super::{EACH, Member, Place, row};
use crate::ring::{drafts, emitter};
use crate::rounds::{Row, Stopwatch, median};
use crate::{Result, Scale, ensure, history};

/// Appends at a time, of which the gateway makes messages.
const APPENDS_AT_ONCE: usize = 4;
/// Records of an append.
const APPEND_RECORDS: usize = 256;

/// Opens a copy of a log in an empty directory until it has all of it.
pub fn join(place: &Place, scale: Scale) -> Result<Row> {
    let count = scale.pick(400_000, 2_000);
    let member = place.member("join")?;
    place.stage.run(fill(&member, count))?;
    let info = place.stage.run(async { Ok(place.servers.info("AUDIT_join").await?) })?;
    let state = |name| info.pointer(name).and_then(serde_json::Value::as_u64).unwrap_or(0) as f64;
    let (messages, bytes) = (state("/state/messages"), state("/state/bytes"));
    eprintln!(
        "shared_join: {:.0} records a message, {:.0} bytes a record in the stream",
        count as f64 / messages,
        bytes / count as f64
    );
    let mut rounds = Vec::new();
    for _ in 0..scale.pick(5, 1) {
        let watch = Stopwatch::start();
        let joined = place.member("join")?;
        place.stage.run(readable(&joined, count))?;
        rounds.push(watch.stop().rate(count as f64).value);
        place.stage.serve(joined.log.close());
    }
    Ok(row("shared_join", "records/s", &rounds, median(&rounds)))
}

/// Waits until the copy has so many records, and no more.
async fn readable(member: &Member, count: u64) -> Result<()> {
    let mut changes = member.log.changes();
    loop {
        let last = member.log.extent().last.0;
        ensure(last <= count, || format!("it has {last} records instead of {count}"))?;
        if last == count {
            return Ok(());
        }
        changes.changed().await?;
    }
}

/// Appends events, some hundreds at a time.
async fn fill(member: &Member, count: u64) -> Result<()> {
    for events in history::chunks(count) {
        let mut appends = JoinSet::new();
        for events in events.chunks(APPEND_RECORDS) {
            if appends.len() >= APPENDS_AT_ONCE
                && let Some(ended) = appends.join_next().await
            {
                let _: () = ended??;
            }
            let drafts = drafts(events, &emitter())?;
            let log = Arc::clone(&member.log);
            appends.spawn(async move {
                let appended = log.append(&drafts, EACH).await?;
                ensure(appended.iter().all(|one| one.is_ok()), || "one is refused".to_owned())
            });
        }
        while let Some(ended) = appends.join_next().await {
            ended??;
        }
    }
    Ok(())
}
