//! Reports that a gateway accepts no events while an emitter retries.

use tokio::sync::watch;

use crate::client::{RETRY_TIME_MAX, Refusal};

/// Reports when an emitter begins to retry, and when the gateway accepts events again. Ends with
/// the emitter.
pub async fn report_retries(mut outage: watch::Receiver<Option<Refusal>>, say: impl Fn(&str)) {
    let mut is_told = false;
    while outage.changed().await.is_ok() {
        let refusal = outage.borrow_and_update().clone();
        match (refusal, is_told) {
            (Some(refusal), false) => say(&format!(
                "the gateway does not accept events: {refusal}; retrying for up to {} s",
                RETRY_TIME_MAX.as_secs()
            )),
            (None, true) => say("the gateway accepts events again"),
            (Some(_), true) | (None, false) => continue,
        }
        is_told = !is_told;
    }
}
