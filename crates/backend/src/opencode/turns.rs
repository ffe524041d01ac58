//! What a session does about turns: it prompts, aborts, answers, and asks how they stand.

use std::sync::atomic::Ordering;

use boocoder_model::{AgentEvent, Answer, ContentPart, DecidedBy, InteractionId, TurnId, TurnOutcome};
use serde_json::{Value, json};
use uuid::Uuid;

use super::mapper::Asking;
use super::questions::{Reply as NativeReply, refusal};
use super::session::{Session, now, wall_clock};
use super::v1::{ApiError, Asked, Client, Snapshot};
use crate::session::Reply;
use crate::{BackendError, Prompt};

/// A request that has come to its end.
pub(super) enum Done {
    /// The server has the prompt, or does not take it. For a slash command: its turn is over.
    Sent { id: String, result: Result<(), ApiError> },
    /// How the session stands.
    Looked(Result<Snapshot, ApiError>),
    /// An answer arrived, or not.
    Answered { id: InteractionId, reply: Reply<Result<(), BackendError>>, result: Result<(), BackendError> },
    /// Something of which only the failure is worth a word.
    Quiet(&'static str, Result<(), ApiError>),
}

/// A prompt that the server was sent last.
pub(super) struct Sending {
    asked: Asked,
    /// Whoever waits for it to be on its way.
    reply: Option<Reply<Result<(), BackendError>>>,
}

impl Sending {
    /// The server has it.
    pub(super) fn arrived(self) {
        if let Some(reply) = self.reply {
            let _ = reply.send(Ok(()));
        }
    }
}

impl Session {
    /// Starts a turn.
    pub(super) fn prompt(&mut self, prompt: Prompt, reply: Reply<Result<(), BackendError>>) {
        let parts = match parts(&prompt.content) {
            Ok(parts) => parts,
            Err(error) => return drop(reply.send(Err(error))),
        };
        if self.turn.current().is_some() {
            return drop(reply.send(Err(BackendError::Busy)));
        }
        let (chosen, is_new) = match self.settings.choose(&prompt) {
            Ok(chosen) => chosen,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let id = message_id(wall_clock());
        if !self.turn.begin(prompt.turn, now()) || !self.settlement.begin(prompt.turn, &id, self.time()) {
            return drop(reply.send(Err(BackendError::Busy)));
        }
        self.mapper.begin_turn();
        self.count_from_now();
        if is_new {
            self.emit(None, AgentEvent::ConfigOptions(self.settings.all()));
        }
        let command = self.command_of(&prompt.content);
        let asked = Asked { id, parts, model: chosen.model, mode: chosen.mode, variant: chosen.variant, command };
        let is_command = asked.command.is_some();
        self.sending = Some(Sending { asked, reply: Some(reply) });
        self.send();
        if is_command {
            // Its answer is the end of the turn; that it is on its way is all that is known before.
            self.has_arrived();
        }
    }

    /// The command and its arguments, if a prompt is one that the server offers.
    fn command_of(&self, content: &[ContentPart]) -> Option<(String, String)> {
        let [ContentPart::Text(text)] = content else { return None };
        let line = text.trim().strip_prefix('/')?;
        let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_known = self.commands.iter().any(|command| command.name == name);
        is_known.then(|| (name.to_owned(), arguments.trim().to_owned()))
    }

    fn send(&mut self) {
        let Some(Sending { asked, .. }) = &self.sending else { return };
        let (client, session, asked) = (self.client.clone(), self.native_id.clone(), asked.clone());
        self.requests.push(Box::pin(async move {
            let result = client.prompt(&session, &asked).await;
            Done::Sent { id: asked.id, result }
        }));
    }

    /// The server took the prompt and forgot it. The same id again makes no second message.
    pub(super) fn resend(&mut self) {
        tracing::warn!(session = self.native_id, "opencode forgot a prompt; it is sent again");
        self.send();
    }

    /// A request has come to its end.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Sent { id, result } => {
                if self.settlement.prompt() == Some(id.as_str()) {
                    self.sent(result);
                }
            }
            Done::Looked(Ok(snapshot)) => self.snapshot(snapshot),
            // A server that cannot be reached is noticed by the stream.
            Done::Looked(Err(error)) => {
                tracing::debug!(%error, "opencode did not say how a session stands");
                self.settlement.look_again(self.time());
            }
            Done::Answered { id, reply, result } => {
                match &result {
                    Ok(()) => self.questions.answered(id),
                    Err(BackendError::UnknownInteraction(_)) => {
                        self.questions.answered(id);
                        self.look();
                    }
                    Err(_) => self.questions.unanswered(id),
                }
                self.turn.handle_activity(now());
                let _ = reply.send(result);
            }
            Done::Quiet(_, Ok(())) => {}
            Done::Quiet(what, Err(error)) => tracing::warn!(%error, session = self.native_id, "{what}"),
        }
    }

    fn sent(&mut self, result: Result<(), ApiError>) {
        match result {
            Ok(()) => self.has_arrived(),
            // It may have it all the same; how the turn stands will tell.
            Err(error @ (ApiError::Unreachable(_) | ApiError::Late { .. })) => {
                tracing::debug!(%error, "nobody knows whether opencode has a prompt");
                self.has_arrived();
            }
            Err(error) => {
                let is_waited_for = self.sending.as_ref().is_some_and(|sending| sending.reply.is_some());
                if is_waited_for && !self.turn.is_cancelling() {
                    self.settlement.forget(self.time());
                    self.turn.abandon();
                    self.fail_sending(|| error.into());
                } else {
                    let outcome = TurnOutcome::failed(DecidedBy::Agent, error.to_string());
                    self.settle(|| outcome);
                }
            }
        }
    }

    /// The prompt is on its way. One that was cancelled meanwhile is aborted now.
    fn has_arrived(&mut self) {
        if let Some(sending) = &mut self.sending
            && let Some(reply) = sending.reply.take()
        {
            let _ = reply.send(Ok(()));
        }
        self.turn.handle_prepared(true, now());
        if self.turn.is_cancelling() {
            self.abort();
        }
    }

    /// The prompt does not reach the server. Whoever waits for it is told.
    pub(super) fn fail_sending(&mut self, error: impl FnOnce() -> BackendError) {
        if let Some(reply) = self.sending.take().and_then(|sending| sending.reply) {
            self.turn.abandon();
            let _ = reply.send(Err(error()));
        }
    }

    /// Cancels the turn, if it is the one that runs and was not cancelled before.
    pub(super) fn cancel(&mut self, turn: TurnId, outcome: TurnOutcome) {
        let decided_by = outcome.decided_by;
        if !self.turn.cancel(turn, outcome, now()) {
            return;
        }
        self.settlement.cancel(self.time());
        self.withdraw(Some(turn), decided_by);
        self.cancel_tools(turn);
        self.abort();
    }

    /// Stops what the session does. An abort does not take back what is asked, and a late answer would still do it: so all
    /// of it is refused.
    pub(super) fn abort(&mut self) {
        let (client, session) = (self.client.clone(), self.native_id.clone());
        let ours = self.mapper.sessions();
        self.requests.push(Box::pin(async move {
            Done::Quiet("a turn was not aborted as it should", abort(&client, &session, &ours).await)
        }));
    }

    /// Refuses a question that nobody is to answer.
    pub(super) fn refuse(&mut self, kind: Asking, native: &str) {
        let (client, reply) = (self.client.clone(), refusal(kind, native));
        self.requests.push(Box::pin(async move {
            Done::Quiet("a question was not refused", client.reply(&reply.path, &reply.body).await)
        }));
    }

    /// Gives an answer, once the server has said that it still asks: it says yes to any.
    pub(super) fn answer(&mut self, id: InteractionId, answer: &Answer, reply: Reply<Result<(), BackendError>>) {
        let (open, native) = match self.questions.answer(id, answer) {
            Ok(open) => open,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let client = self.client.clone();
        self.requests.push(Box::pin(async move {
            let result = give(&client, open.kind, &open.native, &native, id).await;
            Done::Answered { id, reply, result }
        }));
    }

    /// Asks the server how the session stands.
    pub(super) fn look(&mut self) {
        self.settlement.looking();
        let (client, session) = (self.client.clone(), self.native_id.clone());
        let since = self.since.load(Ordering::Relaxed);
        self.requests.push(Box::pin(async move { Done::Looked(client.snapshot(&session, since).await) }));
    }
}

async fn give(
    client: &Client,
    kind: Asking,
    asked: &str,
    reply: &NativeReply,
    id: InteractionId,
) -> Result<(), BackendError> {
    let open = match kind {
        Asking::Permission => client.permissions().await?,
        Asking::Question => client.questions().await?,
    };
    if !open.iter().any(|request| request["id"].as_str() == Some(asked)) {
        return Err(BackendError::UnknownInteraction(id));
    }
    Ok(client.reply(&reply.path, &reply.body).await?)
}

/// Stops what a session does, and refuses all that it and the sessions that it has started ask.
pub(super) async fn abort(client: &Client, session: &str, ours: &[String]) -> Result<(), ApiError> {
    client.abort(session).await?;
    let is_ours = |request: &Value| request["sessionID"].as_str().is_some_and(|of| ours.iter().any(|own| own == of));
    let asked = [(Asking::Permission, client.permissions().await?), (Asking::Question, client.questions().await?)];
    for (kind, requests) in asked {
        for request in requests.iter().filter(|request| is_ours(request)) {
            let reply = refusal(kind, request["id"].as_str().unwrap_or_default());
            client.reply(&reply.path, &reply.body).await?;
        }
    }
    Ok(())
}

/// The parts of a prompt, in the server's form.
fn parts(content: &[ContentPart]) -> Result<Vec<Value>, BackendError> {
    if content.is_empty() {
        return Err(BackendError::Unsupported("an empty prompt".to_owned()));
    }
    let data = |mime: &str, data: &str| format!("data:{mime};base64,{data}");
    let file = |mime: &str, url: String, name: Option<&str>| {
        let mut part = json!({ "type": "file", "mime": mime, "url": url });
        if let Some(name) = name {
            part["filename"] = name.into();
        }
        part
    };
    let part = |part: &ContentPart| match part {
        ContentPart::Text(text) => Ok(json!({ "type": "text", "text": text })),
        ContentPart::Image { mime_type, data: bytes, .. } => Ok(file(mime_type, data(mime_type, bytes), Some("image"))),
        ContentPart::ResourceLink { uri, name, mime_type } => {
            Ok(file(mime_type.as_deref().unwrap_or("text/plain"), uri.clone(), Some(name)))
        }
        ContentPart::Resource { uri, text, .. } => {
            Ok(json!({ "type": "text", "text": format!("<resource uri={uri:?}>\n{text}\n</resource>") }))
        }
        ContentPart::ResourceBlob { uri, mime_type, blob } => {
            let mime = mime_type.as_deref().unwrap_or("application/octet-stream");
            Ok(file(mime, data(mime, blob), Some(uri)))
        }
        ContentPart::Audio { .. } => Err(BackendError::Unsupported("audio in a prompt".to_owned())),
        ContentPart::Unknown(_) => Err(BackendError::Unsupported("content of an unknown kind".to_owned())),
    };
    content.iter().map(part).collect()
}

/// An id for a message, made like the server's own: the server takes the order of ids for that of messages.
fn message_id(milliseconds: u64) -> String {
    let rest = new_uuid().simple().to_string();
    let time = milliseconds.wrapping_mul(0x1000) & 0xffff_ffff_ffff;
    format!("msg_{time:012x}{}", &rest[..14])
}

#[expect(clippy::disallowed_methods, reason = "messages get their ids where they are sent")]
fn new_uuid() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_sorts_by_time_like_the_servers() {
        // Of a message that the server made: its time, and its id.
        let id = message_id(1_795_330_244_525);
        assert_eq!((&id[..13], id.len()), ("msg_202057fad", "msg_202057fad001oOmlrFscOAGiCD".len()));
        assert!(message_id(1_795_330_244_526) > id);
    }

    #[test]
    fn a_prompt_takes_what_the_server_takes() {
        let image = ContentPart::Image { mime_type: "image/png".into(), data: "AA==".into(), uri: None };
        let parts = parts(&[ContentPart::Text("look".into()), image]).expect("both");
        assert_eq!(parts[1]["url"], "data:image/png;base64,AA==");
        let audio = ContentPart::Audio { mime_type: "audio/wav".into(), data: "AA==".into() };
        assert!(matches!(super::parts(&[audio]), Err(BackendError::Unsupported(_))));
        assert!(matches!(super::parts(&[]), Err(BackendError::Unsupported(_))));
    }
}
