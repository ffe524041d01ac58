//! `codex exec --json`

use boocoder_model::{
    AgentEvent, ContentPart, DecidedBy, Location, PlanEntry, PlanPriority, PlanStatus, StopReason, TokenCounts,
    ToolCallId, ToolCallSnapshot, ToolContent, ToolKind, ToolStatus, TurnOutcome, UsageReport,
};

use super::calls::Calls;
use super::value::Json;

#[derive(Default)]
pub(in crate::command) struct Codex {
    pub(super) calls: Calls,
    session: Option<String>,
    outcome: Option<TurnOutcome>,
    trouble: Option<String>,
    /// Something was said: what follows begins a paragraph of its own.
    spoke: bool,
    thought: bool,
}

impl Codex {
    pub(super) fn session_id(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub(super) fn outcome(&self) -> Option<TurnOutcome> {
        self.outcome.clone()
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn read(&mut self, line: Json<'_>) -> Vec<AgentEvent> {
        let kind = line.string("type").unwrap_or_default();
        match (kind.as_str(), line.get("item")) {
            ("thread.started", _) => {
                self.session = line.string("thread_id");
                vec![line.unmapped(kind)]
            }
            ("turn.started", _) => Vec::new(),
            ("item.started" | "item.updated", Some(item)) => self.item(line, item, false),
            ("item.completed", Some(item)) => self.item(line, item, true),
            ("turn.completed", _) if self.outcome.is_none() => {
                self.outcome = Some(TurnOutcome::stopped(&StopReason::EndTurn));
                line.get("usage").map(usage).into_iter().collect()
            }
            ("turn.failed", _) if self.outcome.is_none() => {
                let told = line.get("error").and_then(|error| error.string("message"));
                let reason = told.or_else(|| self.trouble.clone());
                let reason = reason.unwrap_or_else(|| "it failed without a reason".to_owned());
                self.outcome = Some(TurnOutcome::failed(DecidedBy::Agent, reason));
                Vec::new()
            }
            ("error", _) => match line.string("message") {
                Some(message) => vec![self.note(message)],
                None => vec![line.unmapped(kind)],
            },
            _ => vec![line.unmapped(kind)],
        }
    }

    fn note(&mut self, message: String) -> AgentEvent {
        self.trouble = Some(message.clone());
        AgentEvent::Notice(message)
    }

    /// A part of the turn began, went on, or is complete.
    fn item(&mut self, line: Json<'_>, item: Json<'_>, is_done: bool) -> Vec<AgentEvent> {
        let kind = item.string("type").unwrap_or_default();
        let text = item.string("text");
        match (kind.as_str(), text) {
            // The whole text comes when it is complete.
            ("agent_message" | "reasoning", Some(_)) if !is_done => Vec::new(),
            ("agent_message", Some(text)) => {
                let begun = std::mem::replace(&mut self.spoke, true);
                vec![AgentEvent::Text(if begun { format!("\n\n{text}") } else { text })]
            }
            ("reasoning", Some(text)) => {
                let begun = std::mem::replace(&mut self.thought, true);
                vec![AgentEvent::Reasoning(if begun { format!("\n\n{text}") } else { text })]
            }
            ("command_execution", _) => vec![self.command(item, is_done)],
            ("file_change", _) => vec![self.file_change(item, is_done)],
            ("mcp_tool_call", _) => vec![self.tool(item, is_done)],
            ("web_search", _) => vec![self.search(item, is_done)],
            ("todo_list", _) => vec![AgentEvent::Plan(plan(item))],
            ("error", _) => match item.string("message") {
                // It says more of the surroundings than of the turn.
                Some(message) => vec![AgentEvent::Notice(message)],
                None => vec![line.unmapped("item/error")],
            },
            (kind, _) => vec![line.unmapped(format!("item/{kind}"))],
        }
    }

    fn command(&mut self, item: Json<'_>, is_done: bool) -> AgentEvent {
        let output = item.get("aggregated_output");
        let text = output.and_then(Json::text).filter(|text| !text.is_empty());
        self.calls.put(ToolCallSnapshot {
            title: item.string("command").unwrap_or_default(),
            kind: ToolKind::Execute,
            input: item.get("command").map(Json::raw),
            output: output.filter(|_| is_done).map(Json::raw),
            content: text.into_iter().map(|text| ToolContent::Part(ContentPart::Text(text))).collect(),
            ..begun(item, is_done)
        })
    }

    fn file_change(&mut self, item: Json<'_>, is_done: bool) -> AgentEvent {
        let changes = item.list("changes");
        let paths: Vec<_> = changes.into_iter().filter_map(|change| change.string("path")).collect();
        self.calls.put(ToolCallSnapshot {
            title: format!("edit {}", paths.join(", ")),
            kind: ToolKind::Edit,
            input: item.get("changes").map(Json::raw),
            locations: paths.into_iter().map(|path| Location { path, line: None }).collect(),
            ..begun(item, is_done)
        })
    }

    fn tool(&mut self, item: Json<'_>, is_done: bool) -> AgentEvent {
        let of = |name: &str| item.string(name).unwrap_or_default();
        let result = item.get("error").or_else(|| item.get("result"));
        self.calls.put(ToolCallSnapshot {
            title: format!("{} {}", of("server"), of("tool")),
            input: item.get("arguments").map(Json::raw),
            output: result.map(Json::raw),
            ..begun(item, is_done)
        })
    }

    fn search(&mut self, item: Json<'_>, is_done: bool) -> AgentEvent {
        self.calls.put(ToolCallSnapshot {
            title: item.string("query").unwrap_or_default(),
            kind: ToolKind::Search,
            input: item.get("query").map(Json::raw),
            ..begun(item, is_done)
        })
    }
}

/// What all calls have: an id, and how far it has come.
fn begun(item: Json<'_>, is_done: bool) -> ToolCallSnapshot {
    let status = match (item.string("status").unwrap_or_default().as_str(), is_done) {
        ("failed" | "declined", _) => ToolStatus::Failed,
        ("completed", _) | (_, true) => ToolStatus::Completed,
        (_, false) => ToolStatus::InProgress,
    };
    ToolCallSnapshot { status, ..ToolCallSnapshot::new(ToolCallId::new(item.string("id").unwrap_or_default())) }
}

fn plan(item: Json<'_>) -> Vec<PlanEntry> {
    let entry = |todo: Json<'_>| PlanEntry {
        content: todo.string("text").unwrap_or_default(),
        priority: PlanPriority::default(),
        status: if todo.is_true("completed") { PlanStatus::Completed } else { PlanStatus::Pending },
    };
    item.list("items").into_iter().map(entry).collect()
}

/// Cached tokens are counted within the input here, and reasoning within the output.
fn usage(usage: Json<'_>) -> AgentEvent {
    let (input, output) = (usage.number("input_tokens"), usage.number("output_tokens"));
    AgentEvent::Usage(UsageReport::turn(TokenCounts { input, output, ..TokenCounts::default() }.fold(None)))
}
