//! Finds the tool that does what a script asks for among those that an agent offers, by their schemas.

use serde_json::{Map, Value, json};

use crate::llm::protocol::{Refusal, Tool};
use crate::llm::script::Step;

/// What agents call the argument that is a file's path.
const PATH: [&str; 3] = ["file_path", "filePath", "path"];
/// What agents call the argument that is a file's new content.
const CONTENT: [&str; 2] = ["content", "file_text"];
/// What agents call the argument that is a shell command.
const COMMAND: [&str; 1] = ["command"];

/// A call of a tool with its arguments.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) tool: String,
    pub(crate) arguments: Value,
}

/// The call that does what `step` asks for, or `None` for a step that needs no tool.
pub(crate) fn choose(step: &Step, offered: &[Tool]) -> Result<Option<Call>, Refusal> {
    let wanted: Vec<(&[&str], &str)> = match step {
        Step::Write { path, content } => vec![(&PATH, path), (&CONTENT, content)],
        Step::Shell { command } => vec![(&COMMAND, command)],
        Step::Text(_) | Step::Reason(_) | Step::Slow { .. } | Step::Error { .. } | Step::Hang => return Ok(None),
    };
    let call = offered.iter().find_map(|tool| {
        let arguments = Value::Object(arguments(&tool.parameters, &wanted)?);
        Some(Call { tool: tool.name.clone(), arguments })
    });
    call.map(Some).ok_or_else(|| {
        let names: Vec<&str> = offered.iter().map(|tool| tool.name.as_str()).collect();
        Refusal::bad_request(format!("no offered tool can do {step:?}; offered: {}", names.join(", ")))
    })
}

/// The arguments for a tool with this schema, if it takes every wanted value and needs nothing that we cannot give.
fn arguments(schema: &Value, wanted: &[(&[&str], &str)]) -> Option<Map<String, Value>> {
    let properties = schema.get("properties")?.as_object()?;
    let mut arguments = Map::new();
    for (names, value) in wanted {
        let name = names.iter().find(|name| properties.get(**name).is_some_and(is_free_text))?;
        arguments.insert((*name).to_owned(), json!(value));
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            arguments.insert(name.to_owned(), filler(name, properties.get(name)?)?);
        }
    }
    Some(arguments)
}

fn is_free_text(property: &Value) -> bool {
    property.get("type").and_then(Value::as_str) == Some("string") && property.get("enum").is_none()
}

/// A harmless value for an argument that a tool insists on beside the wanted ones.
fn filler(name: &str, property: &Value) -> Option<Value> {
    let choices = property.get("enum").and_then(Value::as_array);
    match name {
        "description" => Some(json!("asked for by the script")),
        "is_background" => Some(json!(false)),
        // One tool for several edits takes the kind of edit as its command.
        "command" => choices?.iter().find(|choice| **choice == "write").cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, properties: &Value, required: &[&str]) -> Tool {
        Tool {
            name: name.to_owned(),
            parameters: json!({"type": "object", "properties": properties, "required": required}),
        }
    }

    fn write() -> Step {
        Step::Write { path: "/w/a".to_owned(), content: "x".to_owned() }
    }

    #[test]
    fn each_agents_own_tool_is_found() {
        let text = json!({"type": "string"});
        let qwen_edit = tool("edit", &json!({"file_path": text, "old_string": text}), &["file_path", "old_string"]);
        let qwen_write = tool("write_file", &json!({"file_path": text, "content": text}), &["file_path", "content"]);
        let flag = json!({"type": "boolean"});
        let qwen_shell = tool(
            "run_shell_command",
            &json!({"command": text, "is_background": flag, "description": text}),
            &["command", "is_background"],
        );
        let qwen = [qwen_edit, qwen_write, qwen_shell];
        let expected = Call { tool: "write_file".to_owned(), arguments: json!({"file_path": "/w/a", "content": "x"}) };
        assert_eq!(choose(&write(), &qwen), Ok(Some(expected)));
        let shell = choose(&Step::Shell { command: "ls".to_owned() }, &qwen).unwrap().unwrap();
        assert_eq!(shell.tool, "run_shell_command");
        assert_eq!(shell.arguments, json!({"command": "ls", "is_background": false}));
    }

    #[test]
    fn a_tool_for_several_edits_is_told_to_write() {
        let text = json!({"type": "string"});
        let commands = json!({"type": "string", "enum": ["view", "write"]});
        let editor = tool(
            "developer__text_editor",
            &json!({"command": commands, "path": text, "file_text": text}),
            &["command", "path"],
        );
        let call = choose(&write(), std::slice::from_ref(&editor)).unwrap().unwrap();
        assert_eq!(call.arguments, json!({"path": "/w/a", "file_text": "x", "command": "write"}));
        let refusal = choose(&Step::Shell { command: "ls".to_owned() }, &[editor]).unwrap_err();
        assert!(refusal.message.ends_with("offered: developer__text_editor"), "{refusal:?}");
    }
}
