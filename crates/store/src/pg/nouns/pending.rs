//! Pending changes and their hunks.

use boocoder_model::{
    AgentName, BlobRef, DecisionId, Hunk, OpenDecision, PendingChange, PendingId, ProjectId, RawJson, ServerId,
    SessionId, TaskId, WorktreeId,
};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, Query, params};
use crate::pg::doc::{HunkDoc, PendingDecisionDoc, docs};
use crate::pg::table::{Fields, Noun, Table};

impl Noun for PendingChange {
    const TABLE: Table<'static> = Table {
        what: "pending change",
        name: "pending_changes",
        key: &["id"],
        columns: &[
            "id",
            "session_id",
            "task_id",
            "worktree_id",
            "file_path",
            "old_path",
            "operation",
            "status",
            "agent",
            "base_blob",
            "base_mode",
            "target_blob",
            "target_mode",
            "diff",
            "revision",
            "decisions",
            "created_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        let (base, target) = (self.base.as_ref(), self.target.as_ref());
        Ok(params![
            self.id.as_uuid(),
            self.session_id.map(SessionId::as_uuid),
            self.task_id.map(TaskId::as_uuid),
            self.worktree_id.map(WorktreeId::as_uuid),
            Json(&self.file_path),
            self.old_path.as_ref().map(Json),
            self.operation.as_str(),
            self.status.as_str(),
            self.agent.as_ref().map(AgentName::as_str),
            base.map(|base| &base.blob),
            base.map(|base| &base.mode),
            target.map(|target| &target.blob),
            target.map(|target| &target.mode),
            Json(&self.diff),
            i64::from(self.revision),
            Json(docs::<_, PendingDecisionDoc>(&self.decisions)),
            self.created_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        let blob = |blob: &str, mode: &str| -> Result<Option<BlobRef>, StoreError> {
            let (blob, mode) = (row.get::<Option<String>>(blob)?, row.get::<Option<String>>(mode)?);
            Ok(blob.zip(mode).map(|(blob, mode)| BlobRef { blob, mode }))
        };
        Ok(Self {
            id: row.id("id", PendingId::from_uuid)?,
            session_id: row.id_if_any("session_id", SessionId::from_uuid)?,
            task_id: row.id_if_any("task_id", TaskId::from_uuid)?,
            worktree_id: row.id_if_any("worktree_id", WorktreeId::from_uuid)?,
            file_path: row.json("file_path")?,
            old_path: row.json_if_any("old_path")?,
            operation: row.name("operation")?,
            status: row.name("status")?,
            agent: row.get::<Option<String>>("agent")?.map(AgentName::from),
            base: blob("base_blob", "base_mode")?,
            target: blob("target_blob", "target_mode")?,
            diff: row.json("diff")?,
            hunks: row.docs::<HunkDoc, _>("hunks")?,
            revision: u32::try_from(row.get::<i64>("revision")?).unwrap_or(u32::MAX),
            decisions: row.docs::<PendingDecisionDoc, _>("decisions")?,
            created_at: row.get("created_at")?,
        })
    }
}

/// Writes what may change of a pending change over the revision before it.
pub(in crate::pg) const REVISE: &str = "UPDATE pending_changes SET revision = $2, old_path = $3, operation = $4, \
     status = $5, agent = $6, task_id = $7, base_blob = $8, base_mode = $9, target_blob = $10, target_mode = $11, \
     diff = $12, decisions = $13 WHERE id = $1 AND revision + 1 = $2 RETURNING 1";

/// The values of [`REVISE`].
pub(in crate::pg) fn revision(pending: &PendingChange) -> Params<'_> {
    let (base, target) = (pending.base.as_ref(), pending.target.as_ref());
    params![
        pending.id.as_uuid(),
        i64::from(pending.revision),
        pending.old_path.as_ref().map(Json),
        pending.operation.as_str(),
        pending.status.as_str(),
        pending.agent.as_ref().map(AgentName::as_str),
        pending.task_id.map(TaskId::as_uuid),
        base.map(|base| &base.blob),
        base.map(|base| &base.mode),
        target.map(|target| &target.blob),
        target.map(|target| &target.mode),
        Json(&pending.diff),
        Json(docs::<_, PendingDecisionDoc>(&pending.decisions)),
    ]
}

impl Noun for OpenDecision {
    const TABLE: Table<'static> = Table {
        what: "decision",
        name: "open_decisions",
        key: &["id"],
        columns: &["id", "project_id", "server_id", "body", "created_at"],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.project_id.as_uuid(),
            self.server.map(ServerId::as_uuid),
            Json(self.body.as_str()),
            self.at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", DecisionId::from_uuid)?,
            project_id: row.id("project_id", ProjectId::from_uuid)?,
            server: row.id_if_any("server_id", ServerId::from_uuid)?,
            body: RawJson::new(row.json::<String>("body")?),
            at: row.get("created_at")?,
        })
    }
}

/// A query for pending changes with their hunks: one statement, so that both are of the same moment.
pub(in crate::pg) fn select(rest: &str) -> String {
    let table = PendingChange::TABLE;
    let columns = table.columns.join(", ");
    format!(
        "SELECT {columns}, parts.hunks FROM pending_changes, LATERAL (\
           SELECT coalesce(json_agg(hunk ORDER BY place), '[]') AS hunks \
           FROM pending_hunks hunk WHERE pending_id = pending_changes.id) parts {rest}"
    )
}

/// The statement that adds a hunk at its place in a pending change.
pub(in crate::pg) fn hunk<'a>(pending: PendingId, place: i32, hunk: &'a Hunk) -> Query<'a> {
    Query::new(
        "INSERT INTO pending_hunks \
           (id, pending_id, place, old_start, old_lines, new_start, new_lines, diff, status, agent, task_id, \
            tool_call_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        params![
            hunk.id.as_uuid(),
            pending.as_uuid(),
            place,
            i64::from(hunk.old_start),
            i64::from(hunk.old_lines),
            i64::from(hunk.new_start),
            i64::from(hunk.new_lines),
            Json(&hunk.diff),
            hunk.status.as_str(),
            hunk.agent.as_ref().map(AgentName::as_str),
            hunk.task_id.map(TaskId::as_uuid),
            hunk.tool_call_id.as_ref().map(|id| Json(id.as_str())),
        ],
    )
}
