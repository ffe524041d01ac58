//! A human's answers to what agents ask, whichever server runs the agent.

use boocoder_backend::check_answer;
use boocoder_model::{Answer, DecidedBy, Interaction, InteractionId, InteractionOutcome, TaskId};
use boocoder_store::{Change, StoreError, Wish};
use tokio::sync::oneshot;

use crate::command::DispatchError;
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::limits;
use crate::scheduler::Request;

impl Dispatcher {
    /// Answers a question, durably, and hands the answer to the agent.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown one, [`DispatchError::AlreadySettled`] for one that was settled
    /// before, [`DispatchError::Invalid`] for an answer that does not fit, [`DispatchError::Conflict`] if the agent is
    /// not asking any more, [`DispatchError::OwnerSilent`] if another server runs the agent and does not act on it.
    pub async fn answer(&self, id: InteractionId, answer: Answer) -> Result<Interaction, DispatchError> {
        let interaction = self.open_interaction(id).await?;
        let wanted = InteractionOutcome::from(answer.clone());
        let refusal = if self.runs_elsewhere(interaction.task_id).await? {
            self.wish(&interaction, answer).await?;
            DispatchError::OwnerSilent
        } else {
            let (reply, answered) = oneshot::channel();
            let request = Request::Answer(Box::new(interaction), answer, reply);
            self.shared.requests.send(request).await.map_err(|_| DispatchError::ShuttingDown)?;
            match answered.await.unwrap_or(Err(DispatchError::ShuttingDown)) {
                Ok(()) => return self.interaction(id).await,
                Err(error @ DispatchError::Conflict(_)) => error,
                Err(error) => return Err(error),
            }
        };
        match self.settlement(id).await? {
            // This very answer stands, though the turn may have ended before the agent could act on it.
            Some(settled) if settled == (wanted, DecidedBy::User) => self.interaction(id).await,
            Some((outcome, decided_by)) => Err(DispatchError::AlreadySettled { outcome, decided_by }),
            None => Err(refusal),
        }
    }

    /// Whether another server runs a task.
    async fn runs_elsewhere(&self, task: TaskId) -> Result<bool, DispatchError> {
        let Some(here) = self.shared.standing.writer() else { return Ok(false) };
        Ok(self.shared.store.server_of(task).await?.is_some_and(|server| server != here.server))
    }

    /// Keeps an answer for the server that runs the task, which is told of it. It is looked at first: what does not fit
    /// is refused here, and keeps no other answer away.
    async fn wish(&self, interaction: &Interaction, answer: Answer) -> Result<(), DispatchError> {
        check_answer(&interaction.question, &answer).map_err(|error| DispatchError::Invalid(error.to_string()))?;
        let wish = Wish { interaction_id: interaction.id, outcome: answer.into(), wished_at: env::now() };
        match self.write(None, vec![Change::PutWish(wish)]).await {
            // It was settled in the meantime, and how is told to the human.
            Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How an interaction was settled. A settlement may be on its way to the store, and is waited for a moment.
    async fn settlement(&self, id: InteractionId) -> Result<Option<(InteractionOutcome, DecidedBy)>, DispatchError> {
        for _ in 0..limits::SETTLEMENT_LOOKS {
            let asked = self.interaction(id).await?;
            if asked.settled.is_some() {
                return Ok(asked.settled);
            }
            tokio::time::sleep(limits::SETTLEMENT_PAUSE).await;
        }
        Ok(None)
    }

    async fn interaction(&self, id: InteractionId) -> Result<Interaction, DispatchError> {
        self.shared.store.interaction(id).await?.ok_or(DispatchError::NotFound("interaction"))
    }

    async fn open_interaction(&self, id: InteractionId) -> Result<Interaction, DispatchError> {
        let interaction = self.interaction(id).await?;
        match interaction.settled {
            None => Ok(interaction),
            Some((outcome, decided_by)) => Err(DispatchError::AlreadySettled { outcome, decided_by }),
        }
    }
}
