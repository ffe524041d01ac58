//! A batch as the statements that write it. Nothing here talks to the database.

use boocoder_model::{
    AgentSession, Chat, DecidedBy, Interaction, InteractionId, InteractionOutcome, Message, PendingChange, PendingId,
    Project, Session, Task, TaskId, TaskState, Turn, Worktree,
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::conn::{Params, Query, params};
use super::doc::InteractionOutcomeDoc;
use super::nouns;
use super::table::{Noun, Table, bigint};
use crate::{Change, StoreError, StoredFrame, WriteBatch, frames, rule};

/// The channel on which processes tell each other that a task may have become claimable.
pub(super) const CHANNEL: &str = "boocoder_tasks";

/// Writes the frames of a batch in one statement. The first frame of each session carries the number that its log must
/// have reached; if the log has not, or there is no such session, its own number becomes null, which no row may hold.
const APPEND: &str = "INSERT INTO frames (session_id, seq, body) \
     SELECT new.session_id, CASE WHEN new.follows IS NULL THEN new.seq \
       WHEN new.follows = (SELECT coalesce(max(seq), 0) FROM frames old WHERE old.session_id = new.session_id) \
         AND EXISTS (SELECT FROM sessions WHERE sessions.id = new.session_id) THEN new.seq END, new.body \
     FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[]) AS new (session_id, seq, body, follows)";

/// One statement of a batch, and what it means if it brings no row.
pub(super) struct Step<'a> {
    pub(super) query: Query<'a>,
    pub(super) guard: Option<Guard>,
}

/// What it means that a statement brings no row.
#[derive(Clone, Copy)]
pub(super) enum Guard {
    /// This noun is not there, or not any more.
    Absent(&'static str),
    /// What this noun belongs to is not there, or not any more.
    Gone(&'static str),
    /// The task is not in the state that it should be in.
    Task(TaskId),
    /// The interaction is settled.
    Interaction(InteractionId),
    /// The pending change is not in the state that it should be in.
    Pending(PendingId),
}

impl<'a> Step<'a> {
    fn plain(query: Query<'a>) -> Self {
        Self { query, guard: None }
    }

    fn insert<N: Noun>(noun: &'a N) -> Result<Self, StoreError> {
        Ok(Self::plain(Query::new(N::TABLE.insert(), noun.values()?)))
    }

    fn upsert<N: Noun>(noun: &'a N) -> Result<Self, StoreError> {
        Ok(Self::plain(Query::new(N::TABLE.upsert(), noun.values()?)))
    }

    fn guarded(guard: Guard, sql: impl Into<std::borrow::Cow<'static, str>>, params: Params<'a>) -> Self {
        Self { query: Query::new(sql, params), guard: Some(guard) }
    }
}

/// The statements of a batch, in their order.
pub(super) fn of(batch: &WriteBatch) -> Result<Vec<Step<'_>>, StoreError> {
    let mut steps = Vec::with_capacity(batch.changes.len() + 2);
    for change in &batch.changes {
        push(change, &mut steps)?;
    }
    if !batch.frames.is_empty() {
        steps.push(append(&batch.frames)?);
    }
    if batch.changes.iter().any(Change::wakes_claimers) {
        steps.push(Step::plain(Query::new("SELECT pg_notify($1, '')", params![CHANNEL])));
    }
    Ok(steps)
}

fn push<'a>(change: &'a Change, steps: &mut Vec<Step<'a>>) -> Result<(), StoreError> {
    let step = match change {
        Change::AddProject(project) => Step::insert::<Project>(project)?,
        Change::AddSession(session) => Step::insert::<Session>(session)?,
        Change::RemoveSession { id, at } => {
            steps.push(remove("session", "sessions", id.as_uuid(), *at));
            let sql = "UPDATE chats SET removed_at = $2 WHERE session_id = $1 AND removed_at IS NULL";
            Step::plain(Query::new(sql, params![id.as_uuid(), *at]))
        }
        Change::AddChat(chat) => {
            let sql = Chat::TABLE.insert_if("EXISTS (SELECT FROM sessions WHERE id = $2 AND removed_at IS NULL)");
            Step::guarded(Guard::Gone("chat"), sql, chat.values()?)
        }
        Change::RemoveChat { id, at } => remove("chat", "chats", id.as_uuid(), *at),
        Change::AddTask { task, request_key } => add_task(task, request_key.as_deref())?,
        Change::UpdateTask { task, from } => update_task(task, *from)?,
        Change::PutMessage(message) => Step::upsert::<Message>(message)?,
        Change::PutTurn(turn) => Step::upsert::<Turn>(turn)?,
        Change::PutAgentSession(agent_session) => Step::upsert::<AgentSession>(agent_session)?,
        Change::OpenInteraction(interaction) => {
            rule::opens(interaction)?;
            Step::insert::<Interaction>(interaction)?
        }
        Change::SettleInteraction { id, outcome, decided_by, at } => settle(*id, outcome, *decided_by, *at),
        Change::AddWorktree(worktree) => Step::insert::<Worktree>(worktree)?,
        Change::RemoveWorktree { id, at } => remove("worktree", "worktrees", id.as_uuid(), *at),
        Change::AddPending(pending) => return add_pending(pending, steps),
        Change::SetPendingStatus { id, from, to, at } => {
            let sql =
                "UPDATE pending_changes SET status = $3, status_at = $4 WHERE id = $1 AND status = $2 RETURNING 1";
            let params = params![id.as_uuid(), from.as_str(), to.as_str(), *at];
            steps.push(Step::guarded(Guard::Pending(*id), sql, params));
            let sql = "UPDATE pending_hunks SET status = $3 WHERE pending_id = $1 AND status = $2";
            Step::plain(Query::new(sql, params![id.as_uuid(), from.as_str(), to.as_str()]))
        }
    };
    steps.push(step);
    Ok(())
}

fn remove(what: &'static str, table: &str, id: Uuid, at: jiff::Timestamp) -> Step<'static> {
    let sql = format!("UPDATE {table} SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL RETURNING 1");
    Step::guarded(Guard::Absent(what), sql, params![id, at])
}

/// Adds a task unless what it belongs to was removed: nobody would ever claim it.
fn add_task<'a>(task: &'a Task, request_key: Option<&'a str>) -> Result<Step<'a>, StoreError> {
    let columns = [Task::TABLE.columns, &["request_key"]].concat();
    let sql = Table { columns: &columns, ..Task::TABLE }.insert_if(
        "($3::uuid IS NULL OR EXISTS (SELECT FROM sessions WHERE id = $3 AND removed_at IS NULL)) \
         AND ($4::uuid IS NULL OR EXISTS (SELECT FROM chats WHERE id = $4 AND removed_at IS NULL))",
    );
    let mut params = task.values()?;
    params.extend(params![request_key.map(str::as_bytes)]);
    Ok(Step::guarded(Guard::Gone("task"), sql, params))
}

fn update_task(task: &Task, from: TaskState) -> Result<Step<'_>, StoreError> {
    let mut params = task.values()?;
    let sql = Task::TABLE.update(&format!("id = $1 AND state = ${}", params.len() + 1));
    params.extend(params![from.as_str()]);
    Ok(Step::guarded(Guard::Task(task.id), sql, params))
}

fn settle(
    id: InteractionId,
    outcome: &InteractionOutcome,
    decided_by: DecidedBy,
    at: jiff::Timestamp,
) -> Step<'static> {
    let sql = "UPDATE interactions SET outcome = $2, decided_by = $3, settled_at = $4 \
               WHERE id = $1 AND settled_at IS NULL RETURNING 1";
    let outcome = Json(InteractionOutcomeDoc::from(outcome));
    Step::guarded(Guard::Interaction(id), sql, params![id.as_uuid(), outcome, decided_by.as_str(), at])
}

fn add_pending<'a>(pending: &'a PendingChange, steps: &mut Vec<Step<'a>>) -> Result<(), StoreError> {
    steps.push(Step::insert::<PendingChange>(pending)?);
    let hunks = (0..).zip(&pending.hunks).map(|(place, hunk)| Step::plain(nouns::hunk(pending.id, place, hunk)));
    steps.extend(hunks);
    Ok(())
}

fn append(batch: &[StoredFrame]) -> Result<Step<'_>, StoreError> {
    let mut logs = frames::follows(batch)?;
    let count = batch.len();
    let (mut sessions, mut numbers) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut bodies, mut follows) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for frame in batch {
        sessions.push(frame.session_id.as_uuid());
        numbers.push(bigint("frame", frame.seq.0)?);
        bodies.push(&*frame.body);
        follows.push(logs.remove(&frame.session_id).map(|seq| bigint("frame", seq.0)).transpose()?);
    }
    Ok(Step::plain(Query::new(APPEND, params![sessions, numbers, bodies, follows])))
}
