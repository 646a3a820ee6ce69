//! The health service `grpc.health.v1`.

use std::future::ready;
use std::pin::Pin;

use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::log::State;
use crate::service;

/// The names with a health status: the gateway and its service.
pub const NAMES: [&str; 2] = ["", service::NAME];

/// The status of an unknown service.
const UNKNOWN: i32 = tonic_health::pb::health_check_response::ServingStatus::ServiceUnknown as i32;

/// The service. A stream that watches an unknown service reports that and stays open, as the health
/// protocol requires; tonic-health refuses it.
pub struct Watchable {
    known: HealthService,
    stopping: CancellationToken,
}

impl Watchable {
    /// The service of this reporter, whose streams end when the gateway stops.
    pub fn new(reporter: HealthReporter, stopping: CancellationToken) -> Self {
        Self { known: HealthService::from_health_reporter(reporter), stopping }
    }
}

#[tonic::async_trait]
impl Health for Watchable {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.known.check(request).await
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if NAMES.contains(&request.get_ref().service.as_str()) {
            let watched = self.known.watch(request).await?;
            return Ok(watched.map(|stream| Box::pin(stream) as Self::WatchStream));
        }
        let unknown = HealthCheckResponse { status: UNKNOWN };
        let end = stream::once(self.stopping.clone().cancelled_owned());
        let told = stream::once(ready(Ok(unknown))).chain(end.filter_map(|()| ready(None)));
        Ok(Response::new(Box::pin(told)))
    }
}

/// Makes the health follow the state of the log: a gateway whose log accepts no events is
/// NOT_SERVING, although it can still be read.
pub async fn follow(
    mut state: watch::Receiver<State>,
    health: HealthReporter,
    stopping: CancellationToken,
) {
    let (mut is_first, mut was_away) = (true, false);
    loop {
        let now = state.borrow_and_update().clone();
        let is_away = matches!(now, State::Away(_));
        if is_away != was_away && !stopping.is_cancelled() {
            let served = if is_away { ServingStatus::NotServing } else { ServingStatus::Serving };
            set(&health, served).await;
        }
        was_away = is_away;
        match now {
            State::Ready if is_first => {}
            State::Ready => tracing::info!("the log accepts events again"),
            State::Full(why) => tracing::warn!("the log is full: {why}"),
            State::Away(why) => tracing::warn!("the log accepts no events at the moment: {why}"),
            State::Failed(why) => {
                tracing::error!("the log has failed: {why}");
                return set(&health, ServingStatus::NotServing).await;
            }
        }
        is_first = false;
        match stopping.run_until_cancelled(state.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// Sets the health status.
pub async fn set(health: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}
