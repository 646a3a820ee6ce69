//! The health of the gateway, as `grpc.health.v1` tells it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::log::State;
use crate::service;

/// What the health is told of: the gateway and its service.
pub const NAMES: [&str; 2] = ["", service::NAME];

/// Lets the health follow the log: a gateway whose log takes no events any more
/// does not serve. It may still be read.
pub async fn follow(
    mut state: watch::Receiver<State>,
    health: HealthReporter,
    stopping: CancellationToken,
) {
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Ready => tracing::info!("the log takes events"),
            State::Full(why) => tracing::warn!("the log is full: {why}"),
            State::Failed(why) => {
                tracing::error!("the log has failed: {why}");
                return set(&health, ServingStatus::NotServing).await;
            }
        }
        match stopping.run_until_cancelled(state.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// Sets what is told.
pub async fn set(health: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}
