//! A chat's history as a prompt, for an agent that cannot go on with its own session.

use boocoder_model::{ContentPart, Message, MessageRole};

/// Where the history says that it comes from.
const URI: &str = "boocoder://chat/history";

/// What is put before it for an agent that takes no resources.
const PREAMBLE: &str =
    "What was said in this chat before, for your information. It is no request; the request follows.";

/// What was said before, the newest of these whole messages that fit into `budget` bytes, as text. That something is
/// left out is told. None if nothing was said.
pub(crate) fn history(messages: &[Message], is_all: bool, budget: usize) -> Option<String> {
    let lines: Vec<_> = messages.iter().filter_map(line).collect();
    let mut size = 0;
    let fits = |line: &&String| {
        size += line.len();
        size <= budget
    };
    let kept = lines.iter().rev().take_while(fits).count();
    let left_out = lines.len() - kept;
    let mut text = String::new();
    if left_out > 0 || !is_all {
        text.push_str("[earlier messages are left out]\n\n");
    }
    text.extend(lines.into_iter().skip(left_out));
    (!text.is_empty()).then_some(text)
}

/// The prompt with the history before it.
pub(crate) fn primed(history: &str, takes_resources: bool, prompt: Vec<ContentPart>) -> Vec<ContentPart> {
    let text = history.to_owned();
    let part = if takes_resources {
        ContentPart::Resource { uri: URI.to_owned(), mime_type: Some("text/plain".to_owned()), text }
    } else {
        ContentPart::Text(format!("{PREAMBLE}\n\n<history>\n{text}</history>"))
    };
    [part].into_iter().chain(prompt).collect()
}

/// The prompt with what the human decided before it.
pub(crate) fn noted(note: String, prompt: Vec<ContentPart>) -> Vec<ContentPart> {
    [ContentPart::Text(note)].into_iter().chain(prompt).collect()
}

fn line(message: &Message) -> Option<String> {
    if message.content.is_empty() {
        return None;
    }
    let who = match message.role {
        MessageRole::User => "user".to_owned(),
        MessageRole::Assistant => message.agent.to_string(),
    };
    Some(format!("[{who}]\n{}\n\n", message.content))
}

#[cfg(test)]
mod tests {
    use boocoder_model::{MessageId, MessageStatus, TaskId};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn said(id: u128, role: MessageRole, content: &str) -> Message {
        Message {
            id: MessageId::from_uuid(Uuid::from_u128(id)),
            chat_id: None,
            session_id: None,
            task_id: TaskId::from_uuid(Uuid::from_u128(id)),
            role,
            agent: "goose".into(),
            content: content.to_owned(),
            attachments: Vec::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            status: MessageStatus::Complete,
            error: None,
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
        }
    }

    #[test]
    fn what_was_said_before_is_told() {
        let messages = [said(1, MessageRole::User, "hello"), said(1, MessageRole::Assistant, "hi")];
        assert_eq!(history(&messages, true, 1000).as_deref(), Some("[user]\nhello\n\n[goose]\nhi\n\n"));
        assert_eq!(history(&[], true, 1000), None);
    }

    #[test]
    fn the_newest_whole_messages_are_kept_and_that_there_were_more_is_told() {
        let messages = [
            said(1, MessageRole::User, "first"),
            said(2, MessageRole::User, "second"),
            said(3, MessageRole::User, "third"),
        ];
        let newest = "[earlier messages are left out]\n\n[user]\nsecond\n\n[user]\nthird\n\n";
        assert_eq!(history(&messages, true, 30).as_deref(), Some(newest));
        assert_eq!(history(&messages[1..], false, 1000).as_deref(), Some(newest));
    }

    #[test]
    fn an_agent_that_takes_resources_gets_one() {
        let prompt = vec![ContentPart::Text("go on".into())];
        assert!(matches!(&primed("x", true, prompt.clone())[..], [ContentPart::Resource { .. }, ContentPart::Text(_)]));
        let [ContentPart::Text(text), _] = &primed("x", false, prompt)[..] else { panic!("two texts") };
        assert!(text.contains("<history>\nx</history>"));
    }
}
