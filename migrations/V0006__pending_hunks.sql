-- Decisions hunk by hunk: who touched a hunk last, what was decided, and what is being carried out.

ALTER TABLE pending_changes
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN decisions json NOT NULL DEFAULT '[]',
    DROP CONSTRAINT pending_changes_operation,
    ADD CONSTRAINT pending_changes_operation
        CHECK (operation IN ('create', 'edit', 'delete', 'rename', 'mode'));

ALTER TABLE pending_hunks
    ADD COLUMN task_id uuid CONSTRAINT pending_hunks_task REFERENCES tasks,
    ADD COLUMN tool_call_id json;
UPDATE pending_hunks SET task_id = pending_changes.task_id
    FROM pending_changes WHERE pending_changes.id = pending_id;

-- Written before the first file is changed, taken away in the transaction that records the outcome. The server may have gone
-- by then, so it is not referenced.
CREATE TABLE open_decisions (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    project_id uuid NOT NULL CONSTRAINT open_decisions_project REFERENCES projects,
    server_id uuid,
    body json NOT NULL,
    created_at timestamptz NOT NULL
);
