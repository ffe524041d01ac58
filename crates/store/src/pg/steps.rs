//! A batch as the statements that write it. Nothing here talks to the database.

use std::os::unix::ffi::OsStrExt;

use boocoder_model::{
    AgentSession, Chat, DecidedBy, Interaction, InteractionId, InteractionOutcome, Message, OpenDecision,
    PendingChange, PendingId, Project, Runner, Seq, Session, SessionId, Task, TaskId, TaskState, Turn, UsageEntry,
    Worktree,
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::conn::{Params, Query, params};
use super::consume;
use super::doc::InteractionOutcomeDoc;
use super::news;
use super::nouns;
use super::servers::{held, put_wish};
use super::table::{Noun, Table, bigint};
use crate::{Change, StoreError, StoredFrame, WriteBatch, Writer, frames, rule};

/// The channel on which processes tell each other that a task may have become claimable.
pub(super) const CHANNEL: &str = "boocoder_tasks";

/// The frames of a batch as rows. The first frame of each session carries the number that its log must have reached; if
/// the log has not, or there is no such session, its own number becomes null, which no row may hold.
pub(super) const NUMBERED: &str = "SELECT new.session_id, CASE WHEN new.follows IS NULL OR new.follows = (\
         SELECT greatest(log_floor, (SELECT max(seq) FROM frames old WHERE old.session_id = sessions.id)) \
         FROM sessions WHERE sessions.id = new.session_id) THEN new.seq END, new.body \
     FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[]) AS new (session_id, seq, body, follows)";

/// How a batch is written.
pub(super) enum Plan<'a> {
    /// There is nothing to write.
    Nothing,
    /// In one statement, which fails if the batch does not fit.
    Alone(Query<'a>),
    /// Step by step, in one transaction.
    Together(Vec<Step<'a>>),
}

/// One statement of a batch, and what it means if it brings no row.
pub(super) struct Step<'a> {
    pub(super) query: Query<'a>,
    pub(super) guard: Option<Guard>,
}

/// What it means that a statement brings no row.
#[derive(Clone, Copy)]
pub(super) enum Guard {
    /// This noun breaks this rule, whose words say all there is to say.
    Rule(&'static str, &'static str),
    /// The task is not in the state that it should be in.
    Task(TaskId),
    /// The interaction is settled.
    Interaction(InteractionId),
    /// The writer is fenced off.
    Writer,
    /// The server's lease has not ended.
    Lapsed,
    /// The pending change is not in the revision that it should be in.
    Pending(PendingId),
}

impl<'a> Step<'a> {
    pub(super) const fn plain(query: Query<'a>) -> Self {
        Self { query, guard: None }
    }

    fn insert<N: Noun>(noun: &'a N) -> Result<Self, StoreError> {
        Ok(Self::plain(Query::new(N::TABLE.insert(), noun.values()?)))
    }

    fn upsert<N: Noun>(noun: &'a N) -> Result<Self, StoreError> {
        Ok(Self::plain(Query::new(N::TABLE.upsert(), noun.values()?)))
    }

    pub(super) fn guarded(guard: Guard, sql: impl Into<std::borrow::Cow<'static, str>>, params: Params<'a>) -> Self {
        Self { query: Query::new(sql, params), guard: Some(guard) }
    }
}

/// How to write a batch.
pub(super) fn plan(batch: &WriteBatch) -> Result<Plan<'_>, StoreError> {
    match consume::taken(&batch.changes)? {
        Some(journals) if journals.is_empty() && batch.frames.is_empty() => Ok(Plan::Nothing),
        Some(journals) if journals.is_empty() && batch.writer.is_none() => Ok(Plan::Alone(append(&batch.frames)?)),
        Some(journals) => Ok(Plan::Alone(consume::all(&journals, &batch.frames, batch.writer)?)),
        None => Ok(Plan::Together(steps(batch)?)),
    }
}

/// The statements of a batch, in their order.
fn steps(batch: &WriteBatch) -> Result<Vec<Step<'_>>, StoreError> {
    let mut steps = Vec::with_capacity(batch.changes.len() + 3);
    steps.extend(batch.writer.map(held).transpose()?);
    for change in &batch.changes {
        push(change, batch.writer, &mut steps)?;
    }
    if !batch.frames.is_empty() {
        steps.push(Step::plain(append(&batch.frames)?));
    }
    if batch.wakes_claimers() {
        steps.push(Step::plain(Query::new("SELECT pg_notify($1, '')", params![CHANNEL])));
    }
    if let Some(writer) = batch.writer {
        steps.extend(batch.news().into_iter().map(|about| Step::plain(news::tell(writer.server, about))));
    }
    Ok(steps)
}

fn push<'a>(change: &'a Change, writer: Option<Writer>, steps: &mut Vec<Step<'a>>) -> Result<(), StoreError> {
    let step = match change {
        Change::AddProject(project) => Step::insert::<Project>(project)?,
        Change::MoveProject { id, path } => {
            let sql = "UPDATE projects SET path = $2 WHERE id = $1 RETURNING 1";
            let params = params![id.as_uuid(), path.as_os_str().as_bytes()];
            Step::guarded(Guard::Rule("project", rule::ABSENT), sql.to_owned(), params)
        }
        Change::AddSession(session) => Step::insert::<Session>(session)?,
        Change::RemoveSession { id, at } => {
            steps.push(remove("session", "sessions", id.as_uuid(), *at));
            let sql = "UPDATE chats SET removed_at = $2 WHERE session_id = $1 AND removed_at IS NULL";
            Step::plain(Query::new(sql, params![id.as_uuid(), *at]))
        }
        Change::RenameSession { id, title } => rename("session", "sessions", id.as_uuid(), title),
        Change::RenameChat { id, title } => rename("chat", "chats", id.as_uuid(), title),
        Change::AddChat(chat) => {
            let sql = Chat::TABLE.insert_if("EXISTS (SELECT FROM sessions WHERE id = $2 AND removed_at IS NULL)");
            Step::guarded(Guard::Rule("chat", rule::GONE), sql, chat.values()?)
        }
        Change::RemoveChat { id, at } => remove("chat", "chats", id.as_uuid(), *at),
        Change::AddTask { task, request_key } => add_task(task, request_key.as_deref())?,
        Change::UpdateTask { task, from } => update_task(task, *from)?,
        Change::RequestCancel { task, by } => {
            let sql = "UPDATE tasks SET cancel_requested = coalesce(cancel_requested, $2) \
                       WHERE id = $1 AND state = 'running' RETURNING 1";
            Step::guarded(Guard::Task(*task), sql, params![task.as_uuid(), by.as_str()])
        }
        Change::PutMessage(message) => Step::upsert::<Message>(message)?,
        Change::PutTurn(turn) => Step::upsert::<Turn>(turn)?,
        Change::PutAgentSession(agent_session) => Step::upsert::<AgentSession>(agent_session)?,
        Change::AddUsage(entry) => {
            let sql = format!("{} ON CONFLICT (id) DO NOTHING", UsageEntry::TABLE.insert());
            Step::plain(Query::new(sql, entry.values()?))
        }
        Change::OpenInteraction(interaction) => {
            rule::opens(interaction)?;
            Step::insert::<Interaction>(interaction)?
        }
        Change::SettleInteraction { id, outcome, decided_by, at } => settle(*id, outcome, *decided_by, *at),
        Change::AddWorktree(worktree) => Step::insert::<Worktree>(worktree)?,
        Change::MoveWorktree { id, path } => {
            let sql = "UPDATE worktrees SET path = $2 WHERE id = $1 AND removed_at IS NULL RETURNING 1";
            let params = params![id.as_uuid(), path.as_os_str().as_bytes()];
            Step::guarded(Guard::Rule("worktree", rule::ABSENT), sql.to_owned(), params)
        }
        Change::RemoveWorktree { id, at } => remove("worktree", "worktrees", id.as_uuid(), *at),
        Change::AddPending(pending) => return add_pending(pending, steps),
        Change::RevisePending(pending) => return revise_pending(pending, steps),
        Change::BeginDecision(decision) => Step::insert::<OpenDecision>(decision)?,
        Change::EndDecision { id } => {
            let sql = "DELETE FROM open_decisions WHERE id = $1 RETURNING 1";
            Step::guarded(Guard::Rule("decision", rule::ABSENT), sql, params![id.as_uuid()])
        }
        Change::AddRunner(runner) => add_runner(runner, writer)?,
        Change::Consume { runner, consumed } => consume::step(*runner, consumed)?,
        Change::EndRunner { id, at } => {
            let sql = "UPDATE runners SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING 1";
            Step::guarded(Guard::Rule("runner", rule::ENDED), sql, params![id.as_uuid(), *at])
        }
        Change::ExpectFrames { session, through } => {
            let sql = "SELECT 1 FROM sessions WHERE id = $1 \
                       AND $2 <= greatest(log_floor, (SELECT max(seq) FROM frames WHERE session_id = $1))";
            let params = params![session.as_uuid(), bigint("session", through.0)?];
            Step::guarded(Guard::Rule("session", rule::BEYOND), sql, params)
        }
        Change::PutWish(wish) => put_wish(wish),
        Change::CompactFrames { session, through } => return compact(*session, *through, steps),
    };
    steps.push(step);
    Ok(())
}

fn remove(what: &'static str, table: &str, id: Uuid, at: jiff::Timestamp) -> Step<'static> {
    let sql = format!("UPDATE {table} SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL RETURNING 1");
    Step::guarded(Guard::Rule(what, rule::ABSENT), sql, params![id, at])
}

fn rename<'a>(what: &'static str, table: &str, id: Uuid, title: &'a str) -> Step<'a> {
    let sql = format!("UPDATE {table} SET title = $2 WHERE id = $1 AND removed_at IS NULL RETURNING 1");
    Step::guarded(Guard::Rule(what, rule::ABSENT), sql, params![id, Json(title)])
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
    Ok(Step::guarded(Guard::Rule("task", rule::GONE), sql, params))
}

/// Replaces a task but for the request to stop it, which the caller's copy may not know of.
fn update_task(task: &Task, from: TaskState) -> Result<Step<'_>, StoreError> {
    let values = Task::TABLE.columns.iter().copied().zip(task.values()?);
    let (columns, mut params): (Vec<_>, Params<'_>) =
        values.filter(|(column, _)| *column != "cancel_requested").unzip();
    let sql = Table { columns: &columns, ..Task::TABLE }.update(&format!("id = $1 AND state = ${}", params.len() + 1));
    params.extend(params![from.as_str()]);
    Ok(Step::guarded(Guard::Task(task.id), sql, params))
}

/// Adds a runner, which is its writer's.
fn add_runner(runner: &Runner, writer: Option<Writer>) -> Result<Step<'_>, StoreError> {
    let columns = [Runner::TABLE.columns, &["server_id"]].concat();
    let mut params = runner.values()?;
    params.extend(params![writer.map(|writer| writer.server.as_uuid())]);
    Ok(Step::plain(Query::new(Table { columns: &columns, ..Runner::TABLE }.insert(), params)))
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

/// Writes a revision over the one before it. The hunks are taken out first, so that they can go elsewhere.
fn revise_pending<'a>(pending: &'a PendingChange, steps: &mut Vec<Step<'a>>) -> Result<(), StoreError> {
    steps.push(Step::guarded(Guard::Pending(pending.id), nouns::REVISE_PENDING, nouns::revision(pending)));
    let sql = "DELETE FROM pending_hunks WHERE pending_id = $1";
    steps.push(Step::plain(Query::new(sql, params![pending.id.as_uuid()])));
    let hunks = (0..).zip(&pending.hunks).map(|(place, hunk)| Step::plain(nouns::hunk(pending.id, place, hunk)));
    steps.extend(hunks);
    Ok(())
}

/// Moves the floor of a log, never down, and removes what is below.
fn compact<'a>(session: SessionId, through: Seq, steps: &mut Vec<Step<'a>>) -> Result<(), StoreError> {
    let (session, through) = (session.as_uuid(), bigint("session", through.0)?);
    let sql = "UPDATE sessions SET log_floor = greatest(log_floor, $2) WHERE id = $1 \
               AND $2 <= greatest(log_floor, (SELECT max(seq) FROM frames WHERE session_id = $1)) RETURNING 1";
    steps.push(Step::guarded(Guard::Rule("session", rule::BEYOND), sql, params![session, through]));
    let sql = "DELETE FROM frames WHERE session_id = $1 AND seq <= $2";
    steps.push(Step::plain(Query::new(sql, params![session, through])));
    Ok(())
}

fn append(batch: &[StoredFrame]) -> Result<Query<'_>, StoreError> {
    Ok(Query::new(format!("INSERT INTO frames (session_id, seq, body) {NUMBERED}"), columns(batch)?))
}

/// The values that [`NUMBERED`] makes rows of.
pub(super) fn columns(batch: &[StoredFrame]) -> Result<Params<'_>, StoreError> {
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
    Ok(params![sessions, numbers, bodies, follows])
}
