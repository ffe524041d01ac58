//! Reads a chat request as strictly as a real model server does.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

/// Blocks that agents put around or beside the user's own words, each from its opening tag to the end of the text.
const CONTEXT_TAGS: [&str; 2] = ["<turn-context>", "<system-reminder>"];

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
    let mut words = texts.map(|text| {
        let end = CONTEXT_TAGS.iter().filter_map(|tag| text.find(tag)).min().unwrap_or(text.len());
        text.split_at(end).0.trim()
    });
    words.rfind(|words| !words.is_empty()).map(|words| (index, words.to_owned()))
}
