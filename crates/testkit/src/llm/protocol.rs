//! Reads a chat request as strictly as a real model server does.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

/// Blocks that agents put between or beside the user's own words, by their opening and closing tags. An agent may send
/// several prompts as one message, each with its block.
const CONTEXT_TAGS: [(&str, &str); 2] =
    [("<turn-context>", "</turn-context>"), ("<system-reminder>", "</system-reminder>")];

/// An answer that is an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// The error as OpenAI writes it.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": null, "code": null}})
    }
}

/// What of a chat request decides the answer.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// The user's own words in the last message that has some.
    pub(crate) user_words: String,
    /// How many messages of the user there are.
    pub(crate) user_messages: usize,
    /// How many times tools were called since the last of them.
    pub(crate) tool_rounds: usize,
    pub(crate) tools: Vec<Tool>,
}

/// A tool that the agent offers to the model.
#[derive(Debug, Deserialize)]
pub(crate) struct Tool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) parameters: Value,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    tools: Option<Vec<ToolEntry>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct ToolEntry {
    function: Tool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: String,
}

/// Checks a request's body and takes from it what the answer depends on.
pub(crate) fn read(body: &Value) -> Result<Chat, Refusal> {
    let body =
        Body::deserialize(body).map_err(|error| Refusal::bad_request(format!("invalid chat request: {error}")))?;
    if body.model.is_empty() || body.messages.is_empty() {
        return Err(Refusal::bad_request("`model` and `messages` must not be empty"));
    }
    check_messages(&body.messages)?;
    let users: Vec<(usize, String)> = body.messages.iter().enumerate().filter_map(own_words).collect();
    let (last_user, user_words) = users.last().cloned().unwrap_or_default();
    let since = body.messages.get(last_user..).unwrap_or_default();
    Ok(Chat {
        model: body.model,
        stream: body.stream,
        include_usage: body.stream_options.is_some_and(|options| options.include_usage),
        user_words,
        user_messages: users.len(),
        tool_rounds: since.iter().filter(|message| message.role == "tool").count(),
        tools: body.tools.unwrap_or_default().into_iter().map(|entry| entry.function).collect(),
    })
}

fn check_messages(messages: &[Message]) -> Result<(), Refusal> {
    let mut called = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        match message.role.as_str() {
            "system" | "developer" | "user" => {}
            "assistant" => called.extend(message.tool_calls.iter().flatten().map(|call| call.id.as_str())),
            "tool" => match message.tool_call_id.as_deref() {
                Some(id) if called.contains(id) => {}
                Some(id) => {
                    let why = format!("messages[{index}]: no earlier message called a tool with the id {id:?}");
                    return Err(Refusal::bad_request(why));
                }
                None => return Err(Refusal::bad_request(format!("messages[{index}]: `tool_call_id` is missing"))),
            },
            other => return Err(Refusal::bad_request(format!("messages[{index}]: unknown role {other:?}"))),
        }
    }
    Ok(())
}

/// The position and the words of a message in which the user says something, not only the agent on the user's behalf.
fn own_words((index, message): (usize, &Message)) -> Option<(usize, String)> {
    if message.role != "user" {
        return None;
    }
    let parts = message.content.as_array();
    let parts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    let texts = message.content.as_str().into_iter().chain(parts);
    let mut words = texts.map(without_context);
    words.rfind(|words| !words.is_empty()).map(|words| (index, words))
}

/// The text less the blocks that an agent added. A block that is never closed reaches to the end.
fn without_context(text: &str) -> String {
    let mut text = text.to_owned();
    for (open, close) in CONTEXT_TAGS {
        while let Some(start) = text.find(open) {
            let end = text[start..].find(close).map_or(text.len(), |at| start + at + close.len());
            text.replace_range(start..end, "\n");
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_context;

    #[test]
    fn the_last_words_stay_whatever_blocks_an_agent_put_between() {
        let text = "one\n<turn-context>now</turn-context>\ntwo <system-reminder>be good</system-reminder>";
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(without_context(&lines.join("\n")).lines().last(), Some("two"));
        assert_eq!(without_context("words <turn-context> and no end"), "words");
    }
}
