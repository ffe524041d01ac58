//! `claude -p --output-format stream-json --verbose`

use boocoder_model::{
    AgentEvent, ContentPart, Cost, DecidedBy, Location, PlanEntry, PlanPriority, StopReason, TokenCounts, ToolCallId,
    ToolCallSnapshot, ToolContent, ToolKind, ToolStatus, TurnOutcome, UsageReport,
};

use super::calls::Calls;
use super::value::Json;

#[derive(Default)]
pub(in crate::command) struct Claude {
    pub(super) calls: Calls,
    session: Option<String>,
    outcome: Option<TurnOutcome>,
    /// Something was said: what follows begins a paragraph of its own.
    spoke: bool,
    thought: bool,
    /// What was said of the block under way in pieces (`--include-partial-messages`); the whole block follows.
    said: String,
    mused: String,
}

impl Claude {
    pub(super) fn session_id(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub(super) fn outcome(&self) -> Option<TurnOutcome> {
        self.outcome.clone()
    }

    pub(super) fn read(&mut self, line: Json<'_>) -> Vec<AgentEvent> {
        if let Some(session) = line.string("session_id") {
            self.session = Some(session);
        }
        let kind = line.string("type").unwrap_or_default();
        // What a helper of the agent says is no part of the answer.
        let is_own = line.get("parent_tool_use_id").is_none();
        let blocks = line.get("message").map(|message| message.list("content")).unwrap_or_default();
        match kind.as_str() {
            "system" => vec![system(line)],
            "assistant" | "user" if blocks.is_empty() => vec![line.unmapped(kind)],
            "assistant" => blocks.into_iter().filter_map(|block| self.block(block, is_own)).collect(),
            "user" => blocks.into_iter().map(|block| self.result_of(block)).collect(),
            "stream_event" if is_own => self.piece(line),
            "result" => self.end(line),
            _ => vec![line.unmapped(kind)],
        }
    }

    /// A block of the agent's message.
    fn block(&mut self, block: Json<'_>, is_own: bool) -> Option<AgentEvent> {
        let kind = block.string("type").unwrap_or_default();
        let text = |name: &str| block.string(name).filter(|_| is_own);
        match kind.as_str() {
            "text" => match text("text") {
                Some(text) => self.say(text),
                None => Some(block.unmapped("assistant/text")),
            },
            "thinking" => match text("thinking") {
                Some(text) => self.think(text),
                None => Some(block.unmapped("assistant/thinking")),
            },
            "tool_use" => Some(self.call(block)),
            kind => Some(block.unmapped(format!("assistant/{kind}"))),
        }
    }

    fn say(&mut self, text: String) -> Option<AgentEvent> {
        if !text.is_empty() && std::mem::take(&mut self.said) == text {
            return None;
        }
        let text = if self.spoke { format!("\n\n{text}") } else { text };
        self.spoke = true;
        Some(AgentEvent::Text(text))
    }

    fn think(&mut self, text: String) -> Option<AgentEvent> {
        if !text.is_empty() && std::mem::take(&mut self.mused) == text {
            return None;
        }
        let text = if self.thought { format!("\n\n{text}") } else { text };
        self.thought = true;
        Some(AgentEvent::Reasoning(text))
    }

    /// A piece of a block that follows whole.
    fn piece(&mut self, line: Json<'_>) -> Vec<AgentEvent> {
        let Some(event) = line.get("event") else { return vec![line.unmapped("stream_event")] };
        let delta = event.get("delta");
        let of = |name: &str| delta.and_then(|delta| delta.string(name));
        match event.string("type").unwrap_or_default().as_str() {
            "content_block_start" => {
                self.said.clear();
                self.mused.clear();
                Vec::new()
            }
            "content_block_delta" => match of("type").unwrap_or_default().as_str() {
                "text_delta" => {
                    let text = of("text").unwrap_or_default();
                    let begins = self.said.is_empty() && self.spoke;
                    self.said += &text;
                    self.spoke = true;
                    vec![AgentEvent::Text(if begins { format!("\n\n{text}") } else { text })]
                }
                "thinking_delta" => {
                    let text = of("thinking").unwrap_or_default();
                    let begins = self.mused.is_empty() && self.thought;
                    self.mused += &text;
                    self.thought = true;
                    vec![AgentEvent::Reasoning(if begins { format!("\n\n{text}") } else { text })]
                }
                "input_json_delta" | "signature_delta" => Vec::new(),
                _ => vec![line.unmapped("stream_event")],
            },
            "message_start" | "content_block_stop" | "message_delta" | "message_stop" | "ping" => Vec::new(),
            _ => vec![line.unmapped("stream_event")],
        }
    }

    fn call(&mut self, block: Json<'_>) -> AgentEvent {
        let name = block.string("name").unwrap_or_default();
        let input = block.get("input");
        let of = |field: &str| input.and_then(|input| input.string(field));
        if name == "TodoWrite" {
            return AgentEvent::Plan(input.map(plan).unwrap_or_default());
        }
        let path = of("file_path").or_else(|| of("notebook_path")).or_else(|| of("path"));
        let about =
            path.clone().or_else(|| ["command", "pattern", "query", "url", "description"].into_iter().find_map(of));
        let kind = kind_of(&name);
        let title = match about {
            Some(command) if kind == ToolKind::Execute => command,
            Some(about) => format!("{name} {about}"),
            None => name,
        };
        self.calls.put(ToolCallSnapshot {
            title,
            kind,
            status: ToolStatus::InProgress,
            input: input.map(Json::raw),
            locations: path.into_iter().map(|path| Location { path, line: None }).collect(),
            ..ToolCallSnapshot::new(ToolCallId::new(block.string("id").unwrap_or_default()))
        })
    }

    /// A block of a message that answers the agent's: the result of a call.
    fn result_of(&mut self, block: Json<'_>) -> AgentEvent {
        let kind = block.string("type").unwrap_or_default();
        let Some(id) = block.string("tool_use_id").filter(|_| kind == "tool_result") else {
            return block.unmapped(format!("user/{kind}"));
        };
        let call = self.calls.of(ToolCallId::new(id));
        let failed = block.is_true("is_error");
        let content = block.get("content");
        self.calls.put(ToolCallSnapshot {
            status: if failed { ToolStatus::Failed } else { ToolStatus::Completed },
            output: content.map(Json::raw),
            content: content.map(shown).unwrap_or_default(),
            ..call
        })
    }

    fn end(&mut self, line: Json<'_>) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        let text = line.string("result").unwrap_or_default();
        let subtype = line.string("subtype").unwrap_or_default();
        let failed = line.is_true("is_error") || subtype != "success";
        if !failed && !self.spoke && !text.is_empty() {
            events.extend(self.say(text.clone()));
        }
        for denied in line.list("permission_denials") {
            let tool = denied.string("tool_name").unwrap_or_else(|| "a tool".to_owned());
            events.push(AgentEvent::Notice(format!("{tool} was not allowed, since nobody could be asked")));
        }
        if self.outcome.is_some() {
            // One process has one turn: what a second result says of it is kept, and counts for nothing.
            return vec![line.unmapped("result")];
        }
        if let Some(usage) = line.get("usage") {
            let counts = TokenCounts {
                input: usage.number("input_tokens"),
                output: usage.number("output_tokens"),
                cache_read: usage.number("cache_read_input_tokens"),
                cache_write: usage.number("cache_creation_input_tokens"),
                ..TokenCounts::default()
            };
            let cost = line.get("total_cost_usd").and_then(|_| Cost::usd(line.number("total_cost_usd")));
            events.push(AgentEvent::Usage(UsageReport::turn(counts.fold(cost))));
        }
        self.outcome = Some(if failed {
            let told: Vec<_> = line.list("errors").into_iter().filter_map(Json::text).collect();
            let reasons = [text, told.join("; "), subtype, "it failed without a reason".to_owned()];
            let reason = reasons.into_iter().find(|reason| !reason.is_empty()).unwrap_or_default();
            TurnOutcome::failed(DecidedBy::Agent, reason)
        } else {
            let reason = line.string("stop_reason").unwrap_or_default();
            let reason = if reason.is_empty() { "end_turn" } else { &reason };
            TurnOutcome::stopped(&reason.parse().unwrap_or(StopReason::EndTurn))
        });
        events
    }
}

fn system(line: Json<'_>) -> AgentEvent {
    let subtype = line.string("subtype").unwrap_or_default();
    match subtype.as_str() {
        "api_retry" => {
            let (error, most) = (line.string("error").unwrap_or_default(), line.number("max_retries"));
            let attempt = line.number("attempt");
            AgentEvent::Notice(format!("the provider did not answer ({error}); attempt {attempt} of {most} follows"))
        }
        "compact_boundary" => {
            let trigger = line.get("compact_metadata").and_then(|about| about.string("trigger"));
            AgentEvent::Compaction { summary: None, status: trigger }
        }
        subtype => line.unmapped(format!("system/{subtype}")),
    }
}

fn plan(input: Json<'_>) -> Vec<PlanEntry> {
    let entry = |todo: Json<'_>| PlanEntry {
        content: todo.string("content").unwrap_or_default(),
        priority: PlanPriority::default(),
        status: todo.string("status").and_then(|status| status.parse().ok()).unwrap_or_default(),
    };
    input.list("todos").into_iter().map(entry).collect()
}

/// What the result of a call shows: a text, or parts of which some may be texts.
fn shown(content: Json<'_>) -> Vec<ToolContent> {
    let part = |part: Json<'_>| match part.string("text") {
        Some(text) => ToolContent::Part(ContentPart::Text(text)),
        None => ToolContent::Unknown(part.raw()),
    };
    match content.text() {
        Some(text) => vec![ToolContent::Part(ContentPart::Text(text))],
        None => content.array().into_iter().map(part).collect(),
    }
}

fn kind_of(tool: &str) -> ToolKind {
    match tool {
        "Bash" | "BashOutput" | "KillShell" => ToolKind::Execute,
        "Read" | "NotebookRead" => ToolKind::Read,
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => ToolKind::Edit,
        "Glob" | "Grep" | "LS" | "WebSearch" => ToolKind::Search,
        "WebFetch" => ToolKind::Fetch,
        "ExitPlanMode" | "EnterPlanMode" => ToolKind::SwitchMode,
        _ => ToolKind::Other,
    }
}
