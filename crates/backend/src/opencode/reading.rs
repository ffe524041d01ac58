//! What the server's JSON says, read leniently.

use boocoder_model::{
    AgentCommand, ContentPart, Location, PlanEntry, RawJson, StopReason, ToolCallId, ToolCallSnapshot, ToolContent,
    ToolKind, ToolStatus,
};
use serde_json::Value;

/// How an assistant's message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MessageEnd {
    /// It did not yet.
    Open,
    /// One step is over, and another message of the same turn follows.
    Step,
    /// The turn is over.
    Stopped(StopReason),
    /// It was aborted.
    Aborted,
    /// It failed, in the provider's words.
    Failed(String),
    /// It is complete and does not say why. An abort while a request is tried again leaves that.
    Unsaid,
}

/// Reads how a message stands, by its `info`.
pub(super) fn message_end(info: &Value) -> MessageEnd {
    let error = &info["error"];
    if error.is_object() {
        return match error["name"].as_str() {
            Some("MessageAbortedError") => MessageEnd::Aborted,
            _ => MessageEnd::Failed(error_text(error)),
        };
    }
    if info["time"]["completed"].is_null() {
        return MessageEnd::Open;
    }
    match info["finish"].as_str() {
        Some("tool-calls") => MessageEnd::Step,
        Some("stop" | "unknown") => MessageEnd::Stopped(StopReason::EndTurn),
        Some("length") => MessageEnd::Stopped(StopReason::MaxTokens),
        Some("content-filter") => MessageEnd::Stopped(StopReason::Refusal),
        Some(other) => MessageEnd::Stopped(StopReason::Other(other.to_owned())),
        None => MessageEnd::Unsaid,
    }
}

/// An error in words: the provider's own, behind its status and kind.
pub(super) fn error_text(error: &Value) -> String {
    let data = &error["data"];
    let name = error["name"].as_str().unwrap_or("an error");
    let status = data["statusCode"].as_u64().map(|status| format!(" ({status})")).unwrap_or_default();
    match data["message"].as_str().or_else(|| error["message"].as_str()) {
        Some(message) => format!("{name}{status}: {message}"),
        None => format!("{name}{status}"),
    }
}

/// The JSON of a value, as it came.
pub(super) fn raw(value: &Value) -> RawJson {
    RawJson::new(value.to_string())
}

/// Reads a tool's part as a whole snapshot.
pub(super) fn tool_call(part: &Value) -> Option<ToolCallSnapshot> {
    let id = part["callID"].as_str().or_else(|| part["id"].as_str())?;
    let (tool, state) = (part["tool"].as_str().unwrap_or("tool"), &part["state"]);
    let input = &state["input"];
    let path = ["filePath", "path", "notebook_path"].iter().find_map(|name| input[name].as_str());
    let output = [&state["output"], &state["error"], &state["metadata"]["output"]].into_iter().find(|it| !it.is_null());
    let mut content = diff(tool, path, input);
    if let Some(text) = output.and_then(Value::as_str).filter(|text| !text.is_empty()) {
        content.push(ToolContent::Part(ContentPart::Text(text.to_owned())));
    }
    Some(ToolCallSnapshot {
        id: ToolCallId::from(id),
        title: title(tool, state, path),
        kind: kind(tool),
        status: match state["status"].as_str() {
            Some("running") => ToolStatus::InProgress,
            Some("completed") => ToolStatus::Completed,
            Some("error") => ToolStatus::Failed,
            _ => ToolStatus::Pending,
        },
        input: Some(input).filter(|input| input.as_object().is_none_or(|map| !map.is_empty())).map(raw),
        output: output.map(raw),
        locations: path.map(|path| Location { path: path.to_owned(), line: None }).into_iter().collect(),
        content,
    })
}

fn title(tool: &str, state: &Value, path: Option<&str>) -> String {
    let input = &state["input"];
    let told = state["title"].as_str().filter(|title| !title.is_empty());
    let about = ["command", "pattern", "url", "query", "description"].iter().find_map(|name| input[name].as_str());
    match told.or(path).or(about) {
        Some(about) => format!("{tool} {about}"),
        None => tool.to_owned(),
    }
}

fn kind(tool: &str) -> ToolKind {
    match tool {
        "read" => ToolKind::Read,
        "edit" | "write" | "multiedit" | "patch" | "apply_patch" => ToolKind::Edit,
        "bash" => ToolKind::Execute,
        "glob" | "grep" | "list" | "codesearch" => ToolKind::Search,
        "webfetch" | "websearch" => ToolKind::Fetch,
        _ => ToolKind::Other,
    }
}

fn diff(tool: &str, path: Option<&str>, input: &Value) -> Vec<ToolContent> {
    let change = |old: Option<&str>, new: Option<&str>| {
        let (path, new_text) = (path?.to_owned(), new?.to_owned());
        Some(ToolContent::Diff { path, old_text: old.map(str::to_owned), new_text })
    };
    let changed = match tool {
        "write" => change(None, input["content"].as_str()),
        "edit" => change(input["oldString"].as_str(), input["newString"].as_str()),
        _ => None,
    };
    changed.into_iter().collect()
}

/// Reads a todo list as a plan.
pub(super) fn plan(todos: &Value) -> Vec<PlanEntry> {
    let entry = |todo: &Value| {
        let word = |name: &str| todo[name].as_str().unwrap_or_default();
        // What was given up is over, as far as a plan can say it.
        let status = if word("status") == "cancelled" { "completed" } else { word("status") };
        PlanEntry {
            content: word("content").to_owned(),
            priority: word("priority").parse().unwrap_or_default(),
            status: status.parse().unwrap_or_default(),
        }
    };
    todos.as_array().map(|todos| todos.iter().map(entry).collect()).unwrap_or_default()
}

/// Reads the slash commands on offer.
pub(super) fn commands(list: &Value) -> Vec<AgentCommand> {
    let command = |command: &Value| {
        let text = |name: &str| command[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let takes_more = command["hints"].as_array().is_some_and(|hints| !hints.is_empty());
        let hint = takes_more.then(|| "arguments".to_owned());
        Some(AgentCommand { name: text("name")?, description: text("description"), hint })
    };
    list.as_array().map(|list| list.iter().filter_map(command).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_says_how_it_ended_or_not() {
        let done = json!({ "completed": 5 });
        for (info, expected) in [
            (json!({ "time": { "created": 1 } }), MessageEnd::Open),
            (json!({ "time": { "created": 1 }, "finish": "stop" }), MessageEnd::Open),
            (json!({ "time": done, "finish": "tool-calls" }), MessageEnd::Step),
            (json!({ "time": done, "finish": "stop" }), MessageEnd::Stopped(StopReason::EndTurn)),
            (json!({ "time": done, "finish": "length" }), MessageEnd::Stopped(StopReason::MaxTokens)),
            (json!({ "time": done }), MessageEnd::Unsaid),
            (json!({ "error": { "name": "MessageAbortedError" } }), MessageEnd::Aborted),
            (
                json!({ "error": { "name": "APIError", "data": { "message": "no", "statusCode": 401 } } }),
                MessageEnd::Failed("APIError (401): no".into()),
            ),
        ] {
            assert_eq!(message_end(&info), expected, "{info}");
        }
    }

    #[test]
    fn a_tool_is_read_whole() {
        let part = json!({ "type": "tool", "tool": "edit", "callID": "c", "state": {
            "status": "completed", "title": "a.txt", "output": "ok",
            "input": { "filePath": "/w/a.txt", "oldString": "1", "newString": "2" },
        } });
        let call = tool_call(&part).expect("a call");
        assert_eq!(
            (call.title.as_str(), call.kind, call.status),
            ("edit a.txt", ToolKind::Edit, ToolStatus::Completed)
        );
        let diff = ToolContent::Diff { path: "/w/a.txt".into(), old_text: Some("1".into()), new_text: "2".into() };
        assert_eq!(call.content, [diff, ToolContent::Part(ContentPart::Text("ok".into()))]);
        assert_eq!(call.output, Some(RawJson::new("\"ok\"")));
        assert_eq!(tool_call(&json!({ "tool": "x" })), None, "without an id there is nothing to call it by");
    }

    #[test]
    fn a_todo_list_is_a_plan() {
        let todos = json!([{ "content": "a", "status": "in_progress", "priority": "high" }, { "content": "b", "status": "cancelled" }]);
        let read: Vec<_> = plan(&todos).into_iter().map(|entry| (entry.content, entry.status.to_string())).collect();
        assert_eq!(read, [("a".to_owned(), "in_progress".to_owned()), ("b".to_owned(), "completed".to_owned())]);
    }
}
