//! What a session does about what comes from its agent: updates, requests, notifications, noise.

use std::sync::Arc;

use agent_client_protocol::{Error, RawJsonRpcId};
use boocoder_acp_mapper::ParsedUpdate;
use boocoder_model::{
    AgentEvent, DecidedBy, InteractionId, InteractionOutcome, Question, RawJson, ToolCallSnapshot, UsageReport,
};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::client_fs::ClientFs;
use super::connection::{AgentRequest, Incoming};
use super::questions::{read_elicitation, read_permission};
use super::session::{Life, Session, now};
use crate::SessionEvent;

#[expect(clippy::disallowed_methods, reason = "questions get their ids where they are asked")]
fn new_interaction() -> InteractionId {
    InteractionId::from_uuid(Uuid::now_v7())
}

/// Counts a write until it has ended, well or badly.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn new(counter: &watch::Sender<usize>) -> Self {
        counter.send_modify(|count| *count += 1);
        Self(counter.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Session {
    /// Takes one thing that came in. The end of the output is the caller's business.
    pub(super) fn handle_incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Update(update) => {
                self.turn.handle_activity(now());
                self.handle_update(*update);
            }
            Incoming::Notification { method, params } => {
                self.turn.handle_activity(now());
                self.handle_notification(method, params);
            }
            Incoming::Request(request) => {
                self.turn.handle_activity(now());
                self.handle_request(request);
            }
            Incoming::Response { serial, result } => self.handle_response(serial, result),
            Incoming::Noise(line) => self.noise(|| line),
            Incoming::TooLong { head, bytes } => {
                self.noise(|| format!("a line of {bytes} bytes was over the limit and was not read: {head}"));
            }
            Incoming::Eof => {}
        }
    }

    fn handle_update(&mut self, update: ParsedUpdate) {
        for mut event in self.mapper.apply(update.update) {
            if let AgentEvent::ToolCall(call) | AgentEvent::ToolUpdate(call) = &mut event {
                self.note_tool(call);
                self.terminals.show(call);
            } else if let AgentEvent::Mode(mode) = &event {
                self.settings.note_mode(mode);
            } else if let AgentEvent::ConfigOptions(options) = &mut event {
                self.settings.replace(std::mem::take(options));
                *options = self.settings.all();
            }
            self.say(event);
        }
    }

    fn note_tool(&mut self, call: &ToolCallSnapshot) {
        if call.status.is_final() {
            self.running.remove(&call.id);
        } else if self.prompted.is_some() {
            self.running.insert(call.id.clone());
        }
    }

    /// Emits an event. Until the session is open, only what concerns the session as a whole counts, and only its latest
    /// state; what a loading agent replays of its history is known already.
    fn say(&mut self, event: AgentEvent) {
        match self.life {
            Life::Opening { replaying } => match event {
                AgentEvent::Commands(_)
                | AgentEvent::Mode(_)
                | AgentEvent::ConfigOptions(_)
                | AgentEvent::Title(_)
                | AgentEvent::Usage(UsageReport::Context { .. } | UsageReport::RunningTotal(_)) => {
                    self.outbox.forget(&event);
                    self.emit(event);
                }
                AgentEvent::Notice(_) => self.emit(event),
                AgentEvent::Text(_)
                | AgentEvent::Reasoning(_)
                | AgentEvent::Content(_)
                | AgentEvent::UserContent(_)
                | AgentEvent::ToolCall(_)
                | AgentEvent::ToolUpdate(_)
                | AgentEvent::Plan(_)
                | AgentEvent::Usage(UsageReport::Delta { .. })
                | AgentEvent::Compaction { .. }
                | AgentEvent::Unmapped { .. } => {
                    if !replaying {
                        self.emit(event);
                    }
                }
            },
            Life::Open | Life::Ending { .. } => self.emit(event),
        }
    }

    fn handle_notification(&mut self, method: String, params: RawJson) {
        let value: Value = serde_json::from_str(params.as_str()).unwrap_or_default();
        let settled = match method.as_str() {
            "$/cancel_request" => {
                let request = serde_json::from_value::<RawJsonRpcId>(value["requestId"].clone()).ok();
                let id = request.and_then(|request| self.questions.taken_back(&request));
                id.map(|id| (id, InteractionOutcome::Cancelled))
            }
            "elicitation/complete" => value["elicitationId"].as_str().and_then(|id| self.questions.completed(id)),
            _ => return self.say(AgentEvent::Unmapped { kind: method, raw: params }),
        };
        if let Some((id, outcome)) = settled {
            self.outbox.push(SessionEvent::Withdrawn { id, outcome, decided_by: DecidedBy::Agent });
        }
    }

    /// Sees to a request. What takes time is done elsewhere and answered from there.
    fn handle_request(&mut self, request: AgentRequest) {
        let stopping = self.turn.is_cancelling() || self.is_ending();
        match request.method.as_str() {
            "fs/write_text_file" | "terminal/create" if stopping => request.answer(Err(Error::request_cancelled())),
            "fs/read_text_file" => self.work_on_file(request, false, ClientFs::read),
            "fs/write_text_file" => self.work_on_file(request, true, ClientFs::write),
            "session/request_permission" => {
                let question = read_permission(&request.params, &mut self.mapper);
                self.ask(request, question);
            }
            "elicitation/create" => {
                let question = read_elicitation(&request.params);
                self.ask(request, question);
            }
            method if method.starts_with("terminal/") => {
                let turn = self.prompted.and(self.turn.current());
                self.terminals.handle(request, turn);
            }
            _ => request.answer(Err(Error::method_not_found())),
        }
    }

    fn work_on_file(&self, request: AgentRequest, writes: bool, work: fn(&ClientFs, &Value) -> Result<Value, Error>) {
        let files = Arc::clone(&self.files);
        let under_way = writes.then(|| UnderWay::new(&self.writes));
        tokio::task::spawn_blocking(move || {
            let result = work(&files, &request.params);
            drop(under_way);
            request.answer(result);
        });
    }

    /// Puts a question to the consumer, unless there is nobody to answer it any more, or not yet.
    fn ask(&mut self, request: AgentRequest, question: Result<Question, Error>) {
        let question = match question {
            Ok(question) => question,
            Err(error) => return request.answer(Err(error)),
        };
        let id = new_interaction();
        let turn = self.prompted.and(self.turn.current());
        let too_many = self.questions.len() >= self.limits.questions;
        let unheard = too_many || self.life != Life::Open || self.turn.is_cancelling();
        self.questions.ask(id, turn, question.clone(), request);
        if unheard {
            self.questions.cancel(id);
            if too_many {
                let title = question.title();
                self.emit(AgentEvent::Notice(format!("too many questions are open, so this was cancelled: {title}")));
            }
            return;
        }
        self.outbox.push(SessionEvent::Asked { turn, id, question });
    }
}
