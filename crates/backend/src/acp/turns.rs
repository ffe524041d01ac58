//! What a session does about turns: it prepares, prompts, cancels and settles them.

use std::collections::VecDeque;

use agent_client_protocol::{Error, is_incoming_transport_closed};
use boocoder_model::{AgentEvent, DecidedBy, InteractionOutcome, StopReason, TurnId, TurnOutcome, TurnStatus};
use serde_json::{Value, json};

use super::content::prompt_blocks;
use super::reading::{agent_error, error_text};
use super::session::{Life, Session, now};
use super::settings::{Aspect, Change};
use crate::session::Reply;
use crate::{BackendError, Prompt, SessionEvent};

/// A turn whose prompt has not been sent yet.
pub(super) struct Preparing {
    /// What is still to be set, in order.
    wanted: VecDeque<(Aspect, String)>,
    /// The request under way, and what it changes.
    asked: Option<(u64, Change)>,
    blocks: Vec<Value>,
    /// Whoever waits for the prompt to be on its way; nobody any more once the turn was cancelled.
    reply: Option<Reply<Result<(), BackendError>>>,
}

impl Preparing {
    /// What the agent was asked.
    pub(super) fn stage(&self) -> &'static str {
        self.asked.as_ref().map_or("a request", |(_, change)| change.method)
    }
}

impl Session {
    /// Starts a turn: first what has to be set, then the prompt.
    pub(super) fn prompt(&mut self, prompt: Prompt, reply: Reply<Result<(), BackendError>>) {
        let blocks = if self.life == Life::Open {
            prompt_blocks(&prompt.content, self.prompt_support)
        } else {
            Err(BackendError::Closed)
        };
        let blocks = match blocks {
            Ok(blocks) if self.turn.begin(prompt.turn, now()) => blocks,
            Ok(_) => return drop(reply.send(Err(BackendError::Busy))),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let wanted = [(Aspect::Model, prompt.model), (Aspect::Mode, prompt.mode), (Aspect::Thinking, prompt.thinking)];
        let wanted = wanted.into_iter().filter_map(|(aspect, value)| Some((aspect, value?))).collect();
        self.preparing = Some(Preparing { wanted, asked: None, blocks, reply: Some(reply) });
        self.advance();
    }

    /// Sends the next change that is needed, or else the prompt.
    fn advance(&mut self) {
        let Some(preparing) = &mut self.preparing else { return };
        while let Some((aspect, wanted)) = preparing.wanted.pop_front() {
            match self.settings.change(&self.native_id, aspect, &wanted) {
                Ok(None) => {}
                Ok(Some(change)) => {
                    let serial = self.connection.request(change.method, change.params.clone());
                    preparing.asked = Some((serial, change));
                    return self.turn.handle_prepared(false, now());
                }
                Err(error) => return self.fail_preparing(error),
            }
        }
        let Some(preparing) = self.preparing.take() else { return };
        self.report_noise(None);
        self.mapper.begin_turn();
        self.running.clear();
        let params = json!({ "sessionId": self.native_id.as_str(), "prompt": preparing.blocks });
        self.prompted = Some(self.connection.request("session/prompt", params));
        self.turn.handle_prepared(true, now());
        if let Some(reply) = preparing.reply {
            let _ = reply.send(Ok(()));
        }
    }

    /// The turn does not come to its prompt. If nobody waits for that any more, it was cancelled and ends as such.
    pub(super) fn fail_preparing(&mut self, error: BackendError) {
        if let Some(reply) = self.preparing.take().and_then(|preparing| preparing.reply) {
            self.turn.abandon();
            let _ = reply.send(Err(error));
        }
    }

    /// A request of ours was answered.
    pub(super) fn handle_response(&mut self, serial: u64, result: Result<Value, Error>) {
        if result.as_ref().is_err_and(is_incoming_transport_closed) {
            // The end of the agent's output is on its way, and decides what becomes of the turn.
            return;
        }
        if self.prompted == Some(serial) {
            return self.handle_prompt_answer(result);
        }
        let asked =
            self.preparing.as_mut().and_then(|preparing| preparing.asked.take_if(|(asked, _)| *asked == serial));
        if let Some((_, change)) = asked {
            self.handle_change_answer(change, result);
        }
    }

    fn handle_change_answer(&mut self, change: Change, result: Result<Value, Error>) {
        let result = result.map(|answer| {
            self.settings.made(change, &answer);
            self.emit(AgentEvent::ConfigOptions(self.settings.all()));
        });
        if self.turn.is_cancelling() {
            self.preparing = None;
            // The outcome stands since the cancellation.
            return self.settle(|| TurnOutcome::cancelled(DecidedBy::User, "cancelled"));
        }
        match result {
            Ok(()) => self.advance(),
            Err(error) => self.fail_preparing(agent_error(&error, "")),
        }
    }

    fn handle_prompt_answer(&mut self, result: Result<Value, Error>) {
        match result {
            Ok(answer) => {
                if let Some(usage) = self.usage.read(&answer) {
                    self.emit(AgentEvent::Usage(usage));
                }
                let reason = answer["stopReason"].as_str().unwrap_or("end_turn");
                let reason: StopReason = reason.parse().unwrap_or(StopReason::EndTurn);
                self.settle(|| TurnOutcome::stopped(&reason));
            }
            Err(error) => self.settle(|| TurnOutcome::failed(DecidedBy::Agent, error_text(&error))),
        }
    }

    /// Cancels the turn, if it is the one that runs and was not cancelled before.
    pub(super) fn cancel(&mut self, turn: TurnId, outcome: TurnOutcome) {
        let decided_by = outcome.decided_by;
        if !self.turn.cancel(turn, outcome, now()) {
            return;
        }
        if let Some(preparing) = &mut self.preparing {
            preparing.wanted.clear();
            if let Some(reply) = preparing.reply.take() {
                let _ = reply.send(Ok(()));
            }
            return;
        }
        self.connection.notify("session/cancel", json!({ "sessionId": self.native_id.as_str() }));
        self.withdraw(Some(turn), decided_by);
        self.cancel_tools(turn);
        self.terminals.stop(turn);
    }

    /// Takes back the open questions of a turn, or all.
    pub(super) fn withdraw(&mut self, turn: Option<TurnId>, decided_by: DecidedBy) {
        for id in self.questions.withdraw(turn) {
            self.outbox.push(SessionEvent::Withdrawn { id, outcome: InteractionOutcome::Cancelled, decided_by });
        }
    }

    fn cancel_tools(&mut self, turn: TurnId) {
        for mut event in self.mapper.cancel_running() {
            if let AgentEvent::ToolUpdate(call) = &mut event {
                self.terminals.show(call);
            }
            self.emit_in(Some(turn), event);
        }
        self.running.clear();
    }

    /// The turn is over, with this outcome unless it was cancelled before. What is still open of it ends first.
    pub(super) fn settle(&mut self, outcome: impl FnOnce() -> TurnOutcome) {
        let Some((turn, outcome)) = self.turn.handle_end(outcome) else { return };
        self.prompted = None;
        self.withdraw(Some(turn), outcome.decided_by);
        if outcome.status != TurnStatus::Completed {
            self.cancel_tools(turn);
            self.terminals.forget(turn);
        }
        self.running.clear();
        self.report_noise(Some(turn));
        self.outbox.push(SessionEvent::TurnEnded { turn, outcome });
    }
}
