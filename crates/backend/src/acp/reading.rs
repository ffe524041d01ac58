//! Small readings of what agents answer, each lenient where agents differ.

use agent_client_protocol::Error;
use serde_json::Value;

use crate::{BackendError, PromptSupport};

/// The version of the protocol that we speak.
pub(super) const PROTOCOL_VERSION: u16 = 1;

/// The JSON-RPC code of "authentication required".
const AUTH_REQUIRED: i32 = -32000;

/// What an agent can do, from the result of `initialize`.
#[derive(Debug, Default)]
pub(super) struct AgentInfo {
    /// Its name and version.
    pub(super) version: Option<String>,
    pub(super) prompt: PromptSupport,
    pub(super) loads: bool,
    pub(super) resumes: bool,
    pub(super) mcp_http: bool,
    /// How to log in, in its words.
    pub(super) login: String,
}

/// Reads the result of `initialize`.
///
/// # Errors
/// [`BackendError::ProtocolVersion`] unless the agent speaks ours.
pub(super) fn agent_info(result: &Value) -> Result<AgentInfo, BackendError> {
    let theirs = &result["protocolVersion"];
    if *theirs != PROTOCOL_VERSION {
        return Err(BackendError::ProtocolVersion { theirs: theirs.to_string(), ours: PROTOCOL_VERSION });
    }
    let can = &result["agentCapabilities"];
    let yes = |value: &Value| value.as_bool().unwrap_or(false);
    let name = result["agentInfo"]["name"].as_str();
    let version = result["agentInfo"]["version"].as_str();
    let parts: Vec<_> = name.into_iter().chain(version).collect();
    Ok(AgentInfo {
        version: (!parts.is_empty()).then(|| parts.join(" ")),
        prompt: PromptSupport {
            image: yes(&can["promptCapabilities"]["image"]),
            audio: yes(&can["promptCapabilities"]["audio"]),
            embedded: yes(&can["promptCapabilities"]["embeddedContext"]),
        },
        loads: yes(&can["loadSession"]),
        // An object, even an empty one, says yes; null and absence say no.
        resumes: !matches!(can["sessionCapabilities"]["resume"], Value::Null | Value::Bool(false)),
        mcp_http: yes(&can["mcpCapabilities"]["http"]),
        login: login(&result["authMethods"]),
    })
}

/// The ways to log in, in the agent's words.
fn login(methods: &Value) -> String {
    let describe = |method: &Value| {
        let name = method["name"].as_str().or_else(|| method["id"].as_str())?;
        Some(match method["description"].as_str().filter(|text| !text.is_empty()) {
            Some(description) => format!("{name}: {description}"),
            None => name.to_owned(),
        })
    };
    methods.as_array().into_iter().flatten().filter_map(describe).collect::<Vec<_>>().join("; ")
}

/// What the caller can do about an agent's error. `login` is how to log in, in the agent's words.
pub(super) fn agent_error(error: &Error, login: &str) -> BackendError {
    let message = error_text(error);
    if i32::from(error.code) == AUTH_REQUIRED {
        let instructions = if login.is_empty() { message } else { format!("{message} ({login})") };
        return BackendError::AuthRequired { instructions };
    }
    BackendError::Agent { code: i64::from(i32::from(error.code)), message }
}

/// What an error says: its message, and its data where that says more.
pub(super) fn error_text(error: &Error) -> String {
    let message = error.message.trim();
    let more = error.data.as_ref().and_then(told).filter(|more| !message.contains(more.as_str()));
    match more {
        None if message.is_empty() => format!("error {}", i32::from(error.code)),
        None => message.to_owned(),
        // The names of the codes say nothing beside the data.
        Some(more) if message.is_empty() || message.eq_ignore_ascii_case("internal error") => more,
        Some(more) => format!("{message}: {more}"),
    }
}

/// The text in an error's data, wherever agents put it.
fn told(data: &Value) -> Option<String> {
    let text = match data {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let inner = |name: &str| fields.get(name).and_then(told);
            ["message", "details", "detail", "error", "reason", "data"].into_iter().find_map(inner)?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(message: &str, data: Value) -> String {
        error_text(&Error::new(-32603, message).data(data))
    }

    #[test]
    fn an_error_says_what_the_provider_said() {
        assert_eq!(text("Internal error", json!("bad key")), "bad key");
        assert_eq!(text("Internal error", json!({ "details": "model not found" })), "model not found");
        assert_eq!(text("API Error", json!({ "error": { "message": "quota" } })), "API Error: quota");
        assert_eq!(text("quota exceeded", json!("quota")), "quota exceeded");
        assert_eq!(text("Internal error", json!({ "status": 500 })), "Internal error");
        assert_eq!(text("", Value::Null), "error -32603");
    }

    #[test]
    fn a_login_is_explained_in_the_agent_s_words() {
        let info = agent_info(&json!({
            "protocolVersion": 1,
            "authMethods": [{ "id": "a", "name": "Log in", "description": "Run `x login`" }, { "id": "key" }, 1],
        }))
        .expect("version 1");
        let error = agent_error(&Error::new(-32000, "Authentication required"), &info.login);
        assert_eq!(error.to_string(), "the agent needs a login: Authentication required (Log in: Run `x login`; key)");
    }

    #[test]
    fn capabilities_are_read_from_whatever_is_there() {
        let info = agent_info(&json!({
            "protocolVersion": 1,
            "agentInfo": { "name": "goose", "version": "1.52.0" },
            "agentCapabilities": { "loadSession": true, "sessionCapabilities": { "resume": {} },
                "promptCapabilities": { "image": true, "audio": "yes" } },
        }))
        .expect("version 1");
        assert_eq!(info.version.as_deref(), Some("goose 1.52.0"));
        assert!(info.loads && info.resumes && info.prompt.image && !info.prompt.audio && !info.mcp_http);
        let bare = agent_info(&json!({ "protocolVersion": 1 })).expect("version 1");
        assert!(!bare.loads && !bare.resumes && bare.version.is_none());
    }

    #[test]
    fn another_version_is_an_error_that_names_it() {
        for theirs in [json!(99), json!("2"), Value::Null] {
            let error = agent_info(&json!({ "protocolVersion": theirs })).expect_err("not version 1");
            assert!(error.to_string().contains(&theirs.to_string()), "{error}");
        }
        agent_info(&Value::Null).expect_err("nothing");
    }
}
