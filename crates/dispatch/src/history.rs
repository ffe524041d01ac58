//! A chat's history as a prompt, for an agent that cannot go on with its own session.

use boocoder_model::{ContentPart, Message, MessageRole, TaskId};

/// Where the history says that it comes from.
const URI: &str = "boocoder://chat/history";

/// What is put before it for an agent that takes no resources.
const PREAMBLE: &str =
    "What was said in this chat before, for your information. It is no request; the request follows.";

/// What was said before `task`, the newest whole messages that fit into `budget` bytes, as text. What is left out is
/// counted. None if nothing was said.
pub(crate) fn history(messages: &[Message], task: TaskId, budget: usize) -> Option<String> {
    let earlier: Vec<_> = messages.iter().take_while(|message| message.task_id != task).collect();
    let lines: Vec<_> = earlier.iter().filter_map(|message| line(message)).collect();
    let mut size = 0;
    let fits = |line: &&String| {
        size += line.len();
        size <= budget
    };
    let kept = lines.iter().rev().take_while(fits).count();
    let left_out = lines.len() - kept;
    let mut text = String::new();
    if left_out > 0 {
        text.push_str(&format!("[{left_out} earlier messages are left out]\n\n"));
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
    use boocoder_model::{MessageId, MessageStatus};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn task(id: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(id))
    }

    fn said(id: u128, role: MessageRole, content: &str) -> Message {
        Message {
            id: MessageId::from_uuid(Uuid::from_u128(id)),
            chat_id: None,
            session_id: None,
            task_id: task(id),
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
    fn what_was_said_before_is_told_and_what_is_asked_now_is_not() {
        let messages = [
            said(1, MessageRole::User, "hello"),
            said(1, MessageRole::Assistant, "hi"),
            said(2, MessageRole::User, "and now?"),
        ];
        assert_eq!(history(&messages, task(2), 1000).as_deref(), Some("[user]\nhello\n\n[goose]\nhi\n\n"));
        assert_eq!(history(&messages, task(1), 1000), None);
    }

    #[test]
    fn the_newest_whole_messages_are_kept_and_the_rest_is_counted() {
        let messages = [
            said(1, MessageRole::User, "first"),
            said(2, MessageRole::User, "second"),
            said(3, MessageRole::User, "third"),
        ];
        let told = history(&messages, task(9), 30).unwrap();
        assert_eq!(told, "[1 earlier messages are left out]\n\n[user]\nsecond\n\n[user]\nthird\n\n");
    }

    #[test]
    fn an_agent_that_takes_resources_gets_one() {
        let prompt = vec![ContentPart::Text("go on".into())];
        assert!(matches!(&primed("x", true, prompt.clone())[..], [ContentPart::Resource { .. }, ContentPart::Text(_)]));
        let [ContentPart::Text(text), _] = &primed("x", false, prompt)[..] else { panic!("two texts") };
        assert!(text.contains("<history>\nx</history>"));
    }
}
