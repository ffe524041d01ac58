//! Pending changes and their hunks.

use boocoder_model::{AgentName, BlobRef, Hunk, PendingChange, PendingId, SessionId, TaskId, WorktreeId};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, Query, params};
use crate::pg::doc::HunkDoc;
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
            created_at: row.get("created_at")?,
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
           (id, pending_id, place, old_start, old_lines, new_start, new_lines, diff, status, agent) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
        ],
    )
}
