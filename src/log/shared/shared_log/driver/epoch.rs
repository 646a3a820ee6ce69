//! The beginning of an epoch, while the gateway runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Driver, Failure};
use crate::log::PublishedCheckpoint;
use crate::log::disk::identity::EpochEntry;
use crate::log::shared::machine::Machine;
use crate::log::shared::message::EpochChange;
use crate::log::shared::stream::StreamEntry;
use crate::record::Sequence;

impl Driver {
    /// Applies a message that may begin an epoch. A copy with records that are lost is put
    /// in order when it is opened again.
    pub(super) async fn begin_epoch(
        &mut self,
        entry: &StreamEntry,
        change: EpochChange,
    ) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        let position = entry.position;
        let (is_next, state) = {
            let machine = inner.machine.lock();
            (machine.is_next_epoch(position, &change), machine.state())
        };
        let log_id = inner.settings.log_id;
        let is_signed = match inner.epoch_key.as_deref() {
            Some(key) => change.is_signed(log_id, key),
            None if is_next => {
                return Err(format!(
                    "message {position} of the stream begins epoch {}, and this gateway has no \
                     key of the log to verify it: start it with the signing key or its public key",
                    change.number
                ));
            }
            None => false,
        };
        if !is_next || !is_signed {
            if !is_signed {
                inner.counts.invalid.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    "ALARM: message {position} of the stream would begin epoch {}, and the log's \
                     key did not sign it: it is passed over",
                    change.number
                );
            }
            inner.machine.lock().skip(position).map_err(|error| error.to_string())?;
            self.note(entry);
            return Ok(());
        }
        let EpochChange { number, count, digest, .. } = change;
        if (state.count, state.digest) != (count, digest) {
            self.mark.pending = position;
            return Err(format!(
                "an operator accepted a loss: epoch {number} of the log begins after record \
                 {count}, and this copy has other records: restart the gateway, which then sets \
                 aside what is lost"
            ));
        }
        let epoch = EpochEntry { number: number.into(), first: Sequence(count + 1) };
        let of = Arc::clone(&inner);
        let begun = tokio::task::spawn_blocking(move || of.disk.begin_epoch(epoch)).await;
        let begun = begun.map_err(|error| error.to_string())?;
        begun.map_err(|error| format!("epoch {number} cannot be noted: {error}"))?;
        *inner.machine.lock() = Machine::of_epoch(inner.settings.window, &change);
        self.mark.epoch_at = position;
        self.note(entry);
        inner.identity.send_modify(|identity| identity.epoch = number.into());
        tracing::warn!("an operator accepted a loss: epoch {number} begins after record {count}");
        if !change.checkpoint.is_empty() {
            let text = change.checkpoint;
            inner.checkpoints.push(PublishedCheckpoint { text, records: count });
        }
        Ok(())
    }
}
