//! Carries out the control requests of operators.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{FollowSession, Runner, StopRequest};
use crate::delivery::control::{ControlAction, ControlError, DeliveryOrder};
use crate::delivery::replay::replay;
use crate::delivery::state::DeliveryPhase;
use crate::log::cursor::Cursor;
use crate::record::Sequence;

impl Runner {
    /// If the cursor belongs to another destination, waits until an operator says where to begin.
    pub(super) async fn await_decision(&mut self) -> ControlFlow<()> {
        let identity = self.config.destination.identity();
        if self.saved.destination == identity {
            return ControlFlow::Continue(());
        }
        let name = &self.config.name;
        self.state.fail(
            DeliveryPhase::Undecided,
            format!(
                "its cursor belongs to another destination, {}: give the delivery of {identity} a name of its own, or say where to begin by auditgate delivery resume {name} --from",
                self.saved.destination,
            ),
        );
        loop {
            tokio::select! {
                changed = self.stop.changed() => {
                    if changed.is_err() || *self.stop.borrow() != StopRequest::Run {
                        return ControlFlow::Break(());
                    }
                }
                command = self.commands.recv() => match command {
                    None => return ControlFlow::Break(()),
                    Some(DeliveryOrder { action: ControlAction::Resume { from: Some(from) }, reply }) => {
                        self.saved.destination.clone_from(&identity);
                        let moved = self.move_to(from).await;
                        let is_moved = moved.is_ok();
                        let _ = reply.send(moved);
                        if is_moved {
                            self.state.succeeded();
                            self.state.set_paused(false);
                            return ControlFlow::Continue(());
                        }
                    }
                    Some(DeliveryOrder { reply, .. }) => {
                        let _ = reply.send(Err(ControlError::Undecided));
                    }
                },
            }
        }
    }

    /// Executes a request of an operator. Breaks if the session must begin anew.
    pub(super) async fn obey(
        &mut self,
        command: DeliveryOrder,
        session: &mut FollowSession,
    ) -> ControlFlow<()> {
        let DeliveryOrder { action, reply } = command;
        let done = match action {
            ControlAction::Pause => {
                self.set_paused(true).await;
                Ok(())
            }
            ControlAction::Resume { from: None } => {
                self.set_paused(false).await;
                Ok(())
            }
            ControlAction::Resume { from: Some(from) } => {
                let moved = self.move_to(from).await;
                if moved.is_ok() {
                    self.set_paused(false).await;
                }
                moved
            }
            ControlAction::Skip { to } => {
                let position = session.window.covered();
                match to <= position {
                    true => Err(ControlError::BehindCursor { sequence: to, position }),
                    false => self.move_to(to.next()).await,
                }
            }
            ControlAction::Replay => match &session.replaying {
                Some(_) => Err(ControlError::ReplayRuns),
                None => self.begin_replay(session),
            },
        };
        let moves =
            matches!(action, ControlAction::Resume { from: Some(_) } | ControlAction::Skip { .. });
        let begins_anew = moves && done.is_ok();
        // The caller may be gone.
        let _ = reply.send(done);
        if begins_anew { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    async fn set_paused(&mut self, paused: bool) {
        self.state.set_paused(paused);
        if self.saved.paused != paused {
            self.saved.paused = paused;
            self.write().await;
        }
    }

    /// Moves the cursor to this record.
    async fn move_to(&mut self, from: Sequence) -> Result<(), ControlError> {
        let extent = self.hub.extent();
        let next = extent.last.next();
        if from < extent.first || from > next {
            return Err(ControlError::NotKept { sequence: from, first: extent.first, next });
        }
        self.save(Cursor::new(self.hub.identity(), from.previous())).await;
        self.state.set_position(from.previous());
        Ok(())
    }

    fn begin_replay(&self, session: &mut FollowSession) -> Result<(), ControlError> {
        let mut letters = self.letters.lock();
        let begun = letters.begin_replay().map_err(|error| ControlError::Replay(error.to_string()));
        self.state.set_dead_letters(letters.count(), letters.bytes());
        let Some(letters) = begun? else { return Err(ControlError::NoDeadLetters) };
        let shipper = Arc::clone(&session.shipper);
        let (config, log_id) = (self.config.clone(), self.hub.identity().id.to_string());
        session.replaying = Some(Box::pin(replay(letters, shipper, config, log_id.into())));
        Ok(())
    }
}
