//! Sends dead letters again.

use std::sync::Arc;

use crate::delivery::DeliveryConfig;
use crate::delivery::batch::{Batch, ItemSource};
use crate::delivery::dead_letters::Replay;
use crate::delivery::shipper::Shipper;

/// Sends the letters of a replay in the current format. On return each of them is delivered, or a
/// dead letter again.
pub async fn replay(
    mut letters: Replay,
    shipper: Arc<Shipper>,
    config: DeliveryConfig,
    log_id: Arc<str>,
) {
    let format = config.format.format();
    let (mut damaged, mut sent) = (0, 0_usize);
    loop {
        let mut batch = Batch::new(Arc::clone(&log_id));
        let mut misfits = Vec::new();
        let mut is_over = false;
        while !batch.is_full(&config.batch) {
            match letters.next(&mut damaged) {
                Ok(Some(ItemSource::Gap(gap))) => batch.add_gap(gap, &config.name, &*format),
                Ok(Some(ItemSource::Record(record))) => {
                    misfits.extend(batch.add_record(record, &*format).err());
                }
                Ok(None) => {
                    is_over = true;
                    break;
                }
                Err(error) => {
                    // The rest stays in the file, and is restored at the next start.
                    tracing::error!(delivery = %config.name, %error, "cannot read dead letters");
                    return;
                }
            }
        }
        sent += batch.len();
        shipper.ship(batch, misfits).await;
        if is_over {
            break;
        }
    }
    match shipper.letters().lock().end_replay(damaged > 0) {
        Ok(None) => {}
        Ok(Some(kept)) => {
            tracing::error!(
                delivery = %config.name,
                damaged,
                "lines of the dead letters cannot be read: they are kept in {}",
                kept.display(),
            );
        }
        Err(error) => {
            tracing::error!(delivery = %config.name, %error, "cannot remove replayed dead letters");
        }
    }
    tracing::info!(delivery = %config.name, sent, damaged, "sent the dead letters again");
}
