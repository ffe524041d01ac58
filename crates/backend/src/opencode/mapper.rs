//! From the server's events to what an agent said and did. Without I/O; it never fails.
//!
//! A text comes twice: as deltas, and whole whenever its part is updated. What was let through is remembered, so that
//! each byte counts once. Deltas do not say where they belong in their text: behind a gap in the stream those of texts
//! that had begun are passed over, and the whole text makes good for them.
//!
//! A busy server writes an event down later than it was emitted, with what has become of its subject by then: the first
//! event of a message may show it as complete, while its parts are still to come. So the first one ends nothing, and a
//! text may be ahead of its deltas.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use boocoder_model::{AgentEvent, ContentPart, RawJson, ToolCallId, ToolCallSnapshot, ToolStatus};
use boocoder_usage_mapper::opencode as usage;
use serde_json::Value;

use super::filter::MetadataFilter;
use super::reading::{MessageEnd, error_text, message_end, plan, raw, tool_call};
use crate::limits::ENDED_MESSAGES;

/// Events that are of no concern to a session: the server's own, and what others say, too.
const PASSED_OVER: [&str; 14] = [
    "server.",
    "plugin.",
    "catalog.",
    "reference.",
    "integration.",
    "models-dev.",
    "project.",
    "file.",
    "lsp.",
    "vcs.",
    "mcp.",
    "installation.",
    "pty.",
    "tui.",
];

/// Events that say again what others say, or nothing that a human needs.
const KNOWN: [&str; 6] = [
    "session.created",
    "session.diff",
    "session.deleted",
    "message.removed",
    "message.part.removed",
    "command.executed",
];

/// What an event comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// The agent said or did something, in answer to this prompt, or for the session as a whole.
    Event { prompt: Option<String>, event: AgentEvent },
    /// It asks a human.
    Asked { kind: Asking, request: Value },
    /// A question was answered, by us or by somebody else.
    Answered { id: String },
    /// The server has the prompt.
    Accepted { prompt: String },
    /// An assistant's message ended. A server without keys does not say which prompt it answers.
    Ended { prompt: Option<String>, end: MessageEnd },
    /// The session has nothing to do. It does not say since which turn.
    Idle,
    /// Something failed. It does not say in which turn.
    Failed(String),
    /// A sign of life, and nothing more.
    Alive,
}

/// The two kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// May a tool run?
    Permission,
    /// Choose, or tell.
    Question,
}

#[derive(Debug)]
struct Message {
    prompt: Option<String>,
    is_user: bool,
}

#[derive(Debug)]
struct TextPart {
    message: String,
    is_reasoning: bool,
    /// All of it that has come, before the filter.
    seen: String,
    /// How much of it has come by deltas, in bytes.
    by_deltas: usize,
    filter: MetadataFilter,
    /// Something of it may be missing that only the whole text brings.
    has_gap: bool,
    is_finished: bool,
}

/// Reads the events of one session.
#[derive(Debug)]
pub(super) struct Mapper {
    session: String,
    /// Sessions that this one has started for parts of its work.
    children: BTreeSet<String>,
    messages: BTreeMap<String, Message>,
    ended: VecDeque<String>,
    texts: BTreeMap<String, TextPart>,
    tools: BTreeMap<ToolCallId, (Option<String>, ToolCallSnapshot)>,
    /// Steps whose use was counted.
    steps: BTreeSet<String>,
    title: Option<String>,
    retry: Option<u64>,
}

impl Mapper {
    /// Reads for the session with this id.
    pub(super) fn new(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            children: BTreeSet::new(),
            messages: BTreeMap::new(),
            ended: VecDeque::new(),
            texts: BTreeMap::new(),
            tools: BTreeMap::new(),
            steps: BTreeSet::new(),
            title: None,
            retry: None,
        }
    }

    /// A turn begins: what is remembered of the tools and steps of older ones is not needed any more, and none of them makes
    /// the session busy.
    pub(super) fn begin_turn(&mut self) {
        self.tools.clear();
        // Of messages that have ended nothing is read any more, so their steps cannot come again.
        self.steps.clear();
        self.retry = None;
    }

    /// Whether a session is this one, or one that it has started.
    pub(super) fn is_ours(&self, session: &str) -> bool {
        session == self.session || self.children.contains(session)
    }

    /// The stream has a gap here.
    pub(super) fn handle_gap(&mut self) {
        self.texts.values_mut().filter(|text| !text.is_finished).for_each(|text| text.has_gap = true);
    }

    /// Takes an event.
    pub(super) fn handle_event(&mut self, event: &Value) -> Vec<Said> {
        let (kind, properties) = (event["type"].as_str().unwrap_or_default(), &event["properties"]);
        if PASSED_OVER.iter().any(|prefix| kind.starts_with(prefix)) {
            return Vec::new();
        }
        let info = &properties["info"];
        if matches!(kind, "session.created" | "session.updated") {
            self.note_child(info);
        }
        let of = ["sessionID"].iter().find_map(|name| properties[name].as_str());
        let of = of.or_else(|| info["sessionID"].as_str()).or_else(|| properties["part"]["sessionID"].as_str());
        let Some(of) = of.or_else(|| info["id"].as_str()) else { return Vec::new() };
        if of != self.session {
            return if self.children.contains(of) { self.child_event(kind, properties) } else { Vec::new() };
        }
        match kind {
            "message.updated" => {
                let is_known = info["id"].as_str().is_some_and(|id| self.messages.contains_key(id));
                self.message(info, is_known)
            }
            "message.part.updated" => self.part(&properties["part"]),
            "message.part.delta" => self.delta(properties),
            "permission.asked" => vec![Said::Asked { kind: Asking::Permission, request: properties.clone() }],
            "question.asked" => vec![Said::Asked { kind: Asking::Question, request: properties.clone() }],
            "permission.replied" | "question.replied" | "question.rejected" => answered(properties),
            "todo.updated" => session_event(AgentEvent::Plan(plan(&properties["todos"]))),
            "session.updated" => self.session_info(info),
            "session.status" => self.status(&properties["status"]),
            "session.idle" => vec![Said::Idle],
            "session.error" => vec![Said::Failed(error_text(&properties["error"]))],
            "session.compacted" => {
                session_event(AgentEvent::Compaction { summary: None, status: Some("completed".to_owned()) })
            }
            kind if KNOWN.contains(&kind) => vec![Said::Alive],
            kind => session_event(AgentEvent::Unmapped { kind: kind.to_owned(), raw: raw(event) }),
        }
    }

    /// Takes messages as the server keeps them, each with its parts: what was missed of the turn that answers `prompt`. The
    /// rest is history: it was said in its time, be it by another process.
    pub(super) fn handle_messages(&mut self, messages: &[Value], prompt: Option<&str>) -> Vec<Said> {
        let mut said = Vec::new();
        let known: BTreeSet<String> = self.texts.keys().cloned().collect();
        for message in messages {
            let info = &message["info"];
            let Some(id) = info["id"].as_str().filter(|id| !self.has_ended(id)) else { continue };
            let is_child = info["sessionID"].as_str().is_some_and(|of| of != self.session);
            let is_of_turn =
                [&info["parentID"], &info["id"]].into_iter().any(|of| prompt.is_some() && of.as_str() == prompt);
            if !is_child && !is_of_turn && !self.messages.contains_key(id) {
                continue;
            }
            if !is_child {
                self.remember(id, info);
            }
            for part in message["parts"].as_array().into_iter().flatten() {
                said.extend(if is_child { self.step(part, None) } else { self.part(part) });
            }
            if !is_child {
                said.extend(self.message(info, true));
            }
        }
        // Of texts that had begun unseen, nobody knows how many of their deltas were missed.
        let unseen = self.texts.iter_mut().filter(|(id, text)| !text.is_finished && !known.contains(*id));
        unseen.for_each(|(_, text)| text.has_gap = true);
        said
    }

    /// The turn was cancelled: whatever runs is shown as such.
    pub(super) fn cancel_running(&mut self) -> Vec<AgentEvent> {
        let running = self.tools.values_mut().filter(|(_, call)| !call.status.is_final());
        let cancelled = running.map(|(_, call)| {
            call.status = ToolStatus::Canceled;
            AgentEvent::ToolUpdate(call.clone())
        });
        cancelled.collect()
    }

    /// Whether a tool runs.
    pub(super) fn has_running(&self) -> bool {
        self.tools.values().any(|(_, call)| !call.status.is_final())
    }

    /// The call of a tool, by its id.
    pub(super) fn tool(&self, id: &str) -> Option<&ToolCallSnapshot> {
        self.tools.get(&ToolCallId::from(id)).map(|(_, call)| call)
    }

    /// This session and those that it has started.
    pub(super) fn sessions(&self) -> Vec<String> {
        std::iter::once(&self.session).chain(&self.children).cloned().collect()
    }

    /// A session may be one that this one has started.
    pub(super) fn note_child(&mut self, info: &Value) {
        if let (Some(id), Some(parent)) = (info["id"].as_str(), info["parentID"].as_str())
            && self.is_ours(parent)
        {
            self.children.insert(id.to_owned());
        }
    }

    /// Of a session that this one has started, its questions are a human's business, and its use counts.
    fn child_event(&mut self, kind: &str, properties: &Value) -> Vec<Said> {
        match kind {
            "permission.asked" => vec![Said::Asked { kind: Asking::Permission, request: properties.clone() }],
            "question.asked" => vec![Said::Asked { kind: Asking::Question, request: properties.clone() }],
            "permission.replied" | "question.replied" | "question.rejected" => answered(properties),
            "message.part.updated" => {
                let mut said = self.step(&properties["part"], None);
                said.push(Said::Alive);
                said
            }
            _ => vec![Said::Alive],
        }
    }

    fn has_ended(&self, message: &str) -> bool {
        self.ended.iter().any(|ended| ended == message)
    }

    fn remember(&mut self, id: &str, info: &Value) {
        let is_user = info["role"].as_str() == Some("user");
        let prompt = if is_user { Some(id) } else { info["parentID"].as_str() };
        self.messages.insert(id.to_owned(), Message { prompt: prompt.map(str::to_owned), is_user });
    }

    /// A message as it stands. It ends only if that counts.
    fn message(&mut self, info: &Value, counts: bool) -> Vec<Said> {
        let Some(id) = info["id"].as_str().filter(|id| !self.has_ended(id)) else { return Vec::new() };
        self.remember(id, info);
        let Some(Message { prompt, is_user }) = self.messages.get(id) else { return Vec::new() };
        let prompt = prompt.clone();
        if *is_user {
            return prompt.map(|prompt| Said::Accepted { prompt }).into_iter().collect();
        }
        let end = message_end(info);
        if end == MessageEnd::Open || !counts {
            return vec![Said::Alive];
        }
        let mut said = self.finish_texts(id);
        self.messages.remove(id);
        self.ended.push_back(id.to_owned());
        if self.ended.len() > ENDED_MESSAGES {
            self.ended.pop_front();
        }
        said.push(Said::Ended { prompt, end });
        said
    }

    fn finish_texts(&mut self, message: &str) -> Vec<Said> {
        let prompt = self.prompt_of(message);
        let mut said = Vec::new();
        self.texts.retain(|_, text| {
            if text.message != message {
                return true;
            }
            if !text.is_finished {
                let rest = text.filter.finish();
                said.extend(text_event(text.is_reasoning, rest, prompt.clone()));
            }
            false
        });
        said
    }

    fn prompt_of(&self, message: &str) -> Option<String> {
        self.messages.get(message).and_then(|message| message.prompt.clone())
    }

    fn part(&mut self, part: &Value) -> Vec<Said> {
        let message = part["messageID"].as_str().unwrap_or_default();
        let Some(Message { prompt, is_user: false }) = self.messages.get(message) else { return Vec::new() };
        let prompt = prompt.clone();
        match part["type"].as_str().unwrap_or_default() {
            kind @ ("text" | "reasoning") => self.text(part, kind == "reasoning", prompt),
            "tool" => self.tool_part(part, prompt),
            "step-finish" => self.step(part, prompt),
            "step-start" | "snapshot" | "patch" => vec![Said::Alive],
            "file" => {
                let text = |name: &str| part[name].as_str().map(str::to_owned);
                let uri = text("url").unwrap_or_default();
                let name = text("filename").unwrap_or_else(|| uri.clone());
                let link = ContentPart::ResourceLink { uri, name, mime_type: text("mime") };
                vec![Said::Event { prompt, event: AgentEvent::Content(link) }]
            }
            "retry" => self.failed_attempt(part["attempt"].as_u64(), &error_text(&part["error"])),
            "compaction" => {
                let event = AgentEvent::Compaction { summary: None, status: Some("started".to_owned()) };
                vec![Said::Event { prompt, event }]
            }
            kind => {
                let event = AgentEvent::Unmapped { kind: format!("part {kind}"), raw: raw(part) };
                vec![Said::Event { prompt, event }]
            }
        }
    }

    fn text(&mut self, part: &Value, is_reasoning: bool, prompt: Option<String>) -> Vec<Said> {
        let (Some(id), Some(whole)) = (part["id"].as_str(), part["text"].as_str()) else { return Vec::new() };
        let message = part["messageID"].as_str().unwrap_or_default().to_owned();
        let text = self.texts.entry(id.to_owned()).or_insert_with(|| TextPart {
            message,
            is_reasoning,
            seen: String::new(),
            by_deltas: 0,
            filter: MetadataFilter::default(),
            has_gap: false,
            is_finished: false,
        });
        if text.is_finished {
            return Vec::new();
        }
        let mut said = Vec::new();
        if let Some(rest) = whole.strip_prefix(text.seen.as_str()) {
            said.extend(text.more(rest, prompt.as_ref()));
        } else if !text.seen.starts_with(whole) {
            let notice = "opencode rewrote a text after it had shown it; what was shown stays";
            said.push(Said::Event { prompt: prompt.clone(), event: AgentEvent::Notice(notice.to_owned()) });
        }
        if !part["time"]["end"].is_null() {
            text.is_finished = true;
            let rest = text.filter.finish();
            said.extend(text_event(is_reasoning, rest, prompt));
        }
        said.push(Said::Alive);
        said
    }

    fn delta(&mut self, properties: &Value) -> Vec<Said> {
        let (id, delta) = (properties["partID"].as_str(), properties["delta"].as_str());
        let (Some(id), Some(delta)) = (id, delta) else { return Vec::new() };
        let prompt = properties["messageID"].as_str().and_then(|message| self.prompt_of(message));
        let Some(text) = self.texts.get_mut(id) else { return vec![Said::Alive] };
        if text.has_gap || text.is_finished || properties["field"].as_str() != Some("text") {
            return vec![Said::Alive];
        }
        let ahead = text.seen.len().saturating_sub(text.by_deltas);
        text.by_deltas += delta.len();
        match delta.get(ahead..) {
            Some(rest) if !rest.is_empty() => text.more(rest, prompt.as_ref()),
            // It is known already.
            Some(_) | None => vec![Said::Alive],
        }
    }

    fn tool_part(&mut self, part: &Value, prompt: Option<String>) -> Vec<Said> {
        let Some(call) = tool_call(part) else { return Vec::new() };
        let event = match self.tools.get(&call.id) {
            // Nothing happens to a call that has ended, and nothing is new.
            Some((_, before)) if before.status.is_final() || *before == call => return vec![Said::Alive],
            Some(_) => AgentEvent::ToolUpdate(call.clone()),
            None => AgentEvent::ToolCall(call.clone()),
        };
        self.tools.insert(call.id.clone(), (prompt.clone(), call));
        vec![Said::Event { prompt, event }]
    }

    /// The use of a step counts once, whatever else tells of it.
    fn step(&mut self, part: &Value, prompt: Option<String>) -> Vec<Said> {
        match part["id"].as_str() {
            Some(id) if part["type"].as_str() == Some("step-finish") && self.steps.insert(id.to_owned()) => {
                vec![Said::Event { prompt, event: AgentEvent::Usage(usage::step(part)) }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn session_info(&mut self, info: &Value) -> Vec<Said> {
        let title = info["title"].as_str().filter(|title| !title.is_empty()).map(str::to_owned);
        let is_new = self.title.is_some() && title != self.title;
        self.title = title.clone();
        if is_new { session_event(AgentEvent::Title(title)) } else { vec![Said::Alive] }
    }

    fn status(&mut self, status: &Value) -> Vec<Said> {
        match status["type"].as_str() {
            Some("retry") => {
                let reason = status["message"].as_str().unwrap_or("the provider failed");
                self.failed_attempt(status["attempt"].as_u64(), reason)
            }
            // It is followed by `session.idle`, which counts.
            Some(_) | None => vec![Said::Alive],
        }
    }

    fn failed_attempt(&mut self, attempt: Option<u64>, reason: &str) -> Vec<Said> {
        if attempt.is_some() && self.retry == attempt {
            return vec![Said::Alive];
        }
        self.retry = attempt;
        let number = attempt.map(|number| format!(" (attempt {number})")).unwrap_or_default();
        session_event(AgentEvent::Notice(format!("{reason}; opencode tries again{number}")))
    }
}

impl TextPart {
    fn more(&mut self, text: &str, prompt: Option<&String>) -> Vec<Said> {
        self.seen.push_str(text);
        let through = if self.is_reasoning { text.to_owned() } else { self.filter.push(text) };
        text_event(self.is_reasoning, through, prompt.cloned()).into_iter().collect()
    }
}

fn text_event(is_reasoning: bool, text: String, prompt: Option<String>) -> Option<Said> {
    let event = if is_reasoning { AgentEvent::Reasoning(text.clone()) } else { AgentEvent::Text(text.clone()) };
    (!text.is_empty()).then_some(Said::Event { prompt, event })
}

fn session_event(event: AgentEvent) -> Vec<Said> {
    vec![Said::Event { prompt: None, event }]
}

fn answered(properties: &Value) -> Vec<Said> {
    let id = properties["requestID"].as_str().or_else(|| properties["permissionID"].as_str());
    id.map(|id| Said::Answered { id: id.to_owned() }).into_iter().collect()
}

/// An event that is no JSON.
pub(super) fn noise(text: &str) -> AgentEvent {
    AgentEvent::Unmapped { kind: "noise".to_owned(), raw: RawJson::new(text) }
}

#[cfg(test)]
mod tests;
