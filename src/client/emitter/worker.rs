//! What an emitter does in the background.

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::{Command, Options, Queued};
use crate::client::{Client, Error, Refusal, Violation};
use crate::proto::pb;

/// Refusals of a batch that two halves may not meet.
const TOO_LARGE: [&str; 2] = ["REQUEST_TOO_LARGE", "BATCH_TOO_LARGE"];

/// Sends batches, one after the other.
pub(super) struct Worker {
    client: Client,
    options: Options,
    queue: mpsc::UnboundedReceiver<Command>,
    /// Did not fit into the batch before.
    held: Option<Queued>,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        options: Options,
        queue: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self { client, options, queue, held: None }
    }

    /// Ends when the emitter is gone and everything is settled.
    pub(super) async fn run(mut self) {
        loop {
            let first = match self.held.take() {
                Some(held) => held,
                None => match self.queue.recv().await {
                    Some(Command::Emit(queued)) => queued,
                    Some(Command::Flush(done)) => {
                        // Nobody may be waiting any more.
                        let _ = done.send(());
                        continue;
                    }
                    None => return,
                },
            };
            let (batch, flushed) = self.collect(first).await;
            self.deliver(batch).await;
            if let Some(done) = flushed {
                let _ = done.send(());
            }
        }
    }

    /// Gathers a batch: until it is full, the first event has waited long
    /// enough, or somebody waits for it.
    async fn collect(&mut self, first: Queued) -> (Vec<Queued>, Option<oneshot::Sender<()>>) {
        let until = first.since + self.options.linger;
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < self.options.batch_events {
            match timeout_at(until, self.queue.recv()).await {
                Ok(Some(Command::Emit(queued))) => {
                    bytes += queued.bytes;
                    if bytes > self.options.batch_bytes {
                        self.held = Some(queued);
                        break;
                    }
                    batch.push(queued);
                }
                Ok(Some(Command::Flush(done))) => return (batch, Some(done)),
                Ok(None) | Err(_) => break,
            }
        }
        (batch, None)
    }

    /// Settles every event of a batch.
    async fn deliver(&self, batch: Vec<Queued>) {
        // What is still to be sent, the next part last.
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            if part.len() == 1 {
                for queued in part {
                    let answer = self.emit(*queued.event).await;
                    // Whoever does not want the receipt has dropped it.
                    let _ = queued.settled.send(answer);
                }
                continue;
            }
            match self.emit_batch(&part).await {
                Ok(receipts) => {
                    for (queued, receipt) in part.into_iter().zip(receipts) {
                        let _ = queued.settled.send(Ok(receipt));
                    }
                }
                Err(error) => parts.extend(remedy(part, error).into_iter().rev()),
            }
        }
    }

    async fn emit(&self, event: pb::Event) -> Result<pb::Receipt, Error> {
        let validate_only = self.options.validate_only;
        let request = pb::EmitRequest { event: Some(event), validate_only };
        let response = self
            .client
            .call(&request, |mut rpc, request| async move { rpc.emit(request).await })
            .await?;
        response.receipt.ok_or_else(|| Refusal::protocol("response carries no receipt").into())
    }

    async fn emit_batch(&self, batch: &[Queued]) -> Result<Vec<pb::Receipt>, Error> {
        let events = batch.iter().map(|queued| pb::Event::clone(&queued.event)).collect();
        let validate_only = self.options.validate_only;
        self.client.emit_batch(&pb::EmitBatchRequest { events, validate_only }).await
    }
}

/// What to send instead of a batch that failed, in order. An event that is
/// blamed goes alone, to get a refusal of its own; where the batch is too large,
/// its halves go. Where nothing would help, every event is told the error.
fn remedy(mut batch: Vec<Queued>, error: Error) -> Vec<Vec<Queued>> {
    if let Error::Refused(refusal) = &error {
        let blamed: Vec<usize> =
            refusal.violations.iter().filter_map(Violation::event_position).collect();
        if blamed.iter().any(|position| *position < batch.len()) {
            let mut rest = Vec::new();
            let mut alone = Vec::new();
            for (position, queued) in batch.into_iter().enumerate() {
                if blamed.contains(&position) {
                    alone.push(vec![queued]);
                } else {
                    rest.push(queued);
                }
            }
            if !rest.is_empty() {
                alone.push(rest);
            }
            return alone;
        }
        if refusal.reason.as_deref().is_some_and(|reason| TOO_LARGE.contains(&reason)) {
            let second = batch.split_off(batch.len() / 2);
            return vec![batch, second];
        }
    }
    for queued in batch {
        let _ = queued.settled.send(Err(error.clone()));
    }
    Vec::new()
}
