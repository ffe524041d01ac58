//! What an agent is told, with its next prompt, of changes of its own that a human refused.

use std::sync::PoisonError;

use boocoder_model::{AgentName, PendingChange, PendingDecision, PendingDecisionKind, SessionId, Task};
use boocoder_store::TaskFilter;
use jiff::Timestamp;

use crate::command::DispatchError;
use crate::limits;
use crate::workspace::Workspaces;

const PREAMBLE: &str = "The user has looked at what you changed and refused the following. It was taken out of the files \
                        again; do not put it back unless you are asked to.";

impl Workspaces {
    /// What the agent of a task is to be told: what was refused of its doing since it was last asked for something in
    /// this chat.
    pub(crate) async fn refusals(&self, task: &Task) -> Result<Option<String>, DispatchError> {
        let (Some(session), Some(chat)) = (task.session_id, task.chat_id) else { return Ok(None) };
        let key = (session, task.agent.clone());
        // Another server may have refused something meanwhile.
        if !self.is_shared() && self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(None);
        }
        let rows = self.store().pending_changes(session).await?;
        let of_chat = TaskFilter { chat_id: Some(chat), ..TaskFilter::default() };
        let tasks = self.store().tasks(of_chat).await?;
        let earlier = tasks.iter().filter(|other| other.id != task.id && other.agent == task.agent);
        let since = earlier.filter_map(|other| other.started_at).max();
        let note = note(&rows, &task.agent, since);
        if note.is_none() {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
        Ok(note)
    }

    /// Somebody's changes were refused: there is something to tell.
    pub(crate) fn refused(&self, session: SessionId) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != session);
    }
}

/// What was refused of an agent's changes since a moment, within the limit.
fn note(rows: &[PendingChange], agent: &AgentName, since: Option<Timestamp>) -> Option<String> {
    let mut text = String::new();
    for row in rows {
        let is_new = |decision: &&PendingDecision| {
            decision.kind == PendingDecisionKind::Reject && since.is_none_or(|since| decision.at > since)
        };
        let refused: Vec<_> = row.decisions.iter().filter(is_new).flat_map(|decision| &decision.hunks).collect();
        let is_whole = row.hunks.is_empty() && row.agent.as_ref() == Some(agent);
        let mut told: Vec<&str> = row
            .hunks
            .iter()
            .filter(|hunk| hunk.agent.as_ref() == Some(agent) && refused.contains(&&hunk.id))
            .map(|hunk| hunk.diff.as_str())
            .collect();
        if is_whole && row.decisions.iter().any(|decision| is_new(&decision)) {
            told.push("");
        }
        for diff in told {
            text.push_str(&format!("\n{} ({})\n{diff}", row.file_path, row.operation));
            if text.len() > limits::NOTE_BYTES {
                let end = text.floor_char_boundary(limits::NOTE_BYTES);
                text.truncate(end);
                text.push_str("\n[more was refused and is left out here]\n");
                return Some(format!("{PREAMBLE}\n{text}"));
            }
        }
    }
    (!text.is_empty()).then(|| format!("{PREAMBLE}\n{text}"))
}

#[cfg(test)]
mod tests {
    use boocoder_model::{DecidedBy, Hunk, HunkId, Operation, PendingId, PendingStatus};
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(size: usize) -> PendingChange {
        let id = |number| HunkId::from_uuid(Uuid::from_u128(number));
        let hunk = |number: u128, agent: &str| Hunk {
            id: id(number),
            old_start: 1,
            old_lines: 1,
            new_start: 1,
            new_lines: 1,
            diff: format!("@@ -{number} @@\n+{}\n", "ä".repeat(size)),
            status: PendingStatus::Rejected,
            agent: Some(agent.into()),
            task_id: None,
            tool_call_id: None,
        };
        let decision = |hunks: Vec<HunkId>, second| PendingDecision {
            kind: PendingDecisionKind::Reject,
            hunks,
            decided_by: DecidedBy::User,
            at: at(second),
            against: "x".into(),
            before: None,
            after: None,
        };
        PendingChange {
            id: PendingId::from_uuid(Uuid::from_u128(9)),
            session_id: None,
            task_id: None,
            worktree_id: None,
            file_path: "a.txt".into(),
            old_path: None,
            operation: Operation::Edit,
            status: PendingStatus::Rejected,
            agent: Some("goose".into()),
            base: None,
            target: None,
            diff: String::new(),
            hunks: vec![hunk(1, "goose"), hunk(2, "qwen"), hunk(3, "goose")],
            revision: 2,
            decisions: vec![decision(vec![id(1), id(2)], 10), decision(vec![id(3)], 20)],
            created_at: at(0),
        }
    }

    #[test]
    fn an_agent_is_told_of_its_own_and_of_what_is_new() {
        let rows = [row(1)];
        let told = note(&rows, &"goose".into(), None).unwrap();
        assert!(told.starts_with(PREAMBLE) && told.contains("@@ -1 @@") && told.contains("@@ -3 @@"), "{told}");
        assert!(!told.contains("@@ -2 @@"), "another agent's");
        let told = note(&rows, &"goose".into(), Some(at(15))).unwrap();
        assert!(!told.contains("@@ -1 @@") && told.contains("a.txt (edit)\n@@ -3 @@"), "{told}");
        assert_eq!(note(&rows, &"goose".into(), Some(at(20))), None);
        assert_eq!(note(&rows, &"third".into(), None), None);
    }

    #[test]
    fn a_note_is_bounded() {
        let told = note(&[row(limits::NOTE_BYTES)], &"goose".into(), None).unwrap();
        assert!(told.len() < limits::NOTE_BYTES + 400 && told.ends_with("left out here]\n"));
    }
}
