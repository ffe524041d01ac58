-- Everything that BooCoder keeps.
--
-- Free text comes from agents and from humans and may hold U+0000, which no text column takes. It stands in json columns
-- as a JSON string; "column #>> '{}'" shows it. The type is json and never jsonb, which refuses \u0000 and reorders keys.
-- Paths are bytea, because a path need not be UTF-8. Names with a fixed spelling are text with a check.
--
-- "position" is the order in which things were added: clocks step back, an identity does not. Nothing is deleted; what
-- has "removed_at" is hidden.
--
-- Constraints and unique indexes are called TABLE_RULE. The store words its conflicts by the rule's name.

CREATE TABLE projects (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    name json NOT NULL,
    path bytea NOT NULL,
    created_at timestamptz NOT NULL
);
-- Hashed, since an index entry holds less than the longest path.
CREATE UNIQUE INDEX projects_path ON projects (sha256(path));

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    project_id uuid NOT NULL CONSTRAINT sessions_project REFERENCES projects,
    title json NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz
);
CREATE INDEX sessions_shown ON sessions (position) WHERE removed_at IS NULL;

CREATE TABLE chats (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    session_id uuid NOT NULL CONSTRAINT chats_session REFERENCES sessions,
    title json NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    -- What a foreign key needs that ties a chat to its session.
    CONSTRAINT chats_in_session UNIQUE (id, session_id)
);
CREATE INDEX chats_shown ON chats (session_id, position) WHERE removed_at IS NULL;

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    project_id uuid NOT NULL CONSTRAINT tasks_project REFERENCES projects,
    session_id uuid CONSTRAINT tasks_session REFERENCES sessions,
    chat_id uuid CONSTRAINT tasks_chat REFERENCES chats,
    agent text NOT NULL,
    input json NOT NULL,
    model json,
    mode_id json,
    thinking_option_id json,
    approval text NOT NULL CONSTRAINT tasks_approval CHECK (approval IN ('ask', 'auto')),
    state text NOT NULL CONSTRAINT tasks_state
        CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    execution_path text CONSTRAINT tasks_execution_path
        CHECK (execution_path IN ('native', 'acp', 'acp_warm', 'opencode', 'pty')),
    outcome json,
    output_summary json,
    cost_tokens bigint CONSTRAINT tasks_cost_tokens CHECK (cost_tokens >= 0),
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    request_key bytea,
    CONSTRAINT tasks_chat_session FOREIGN KEY (chat_id, session_id) REFERENCES chats (id, session_id)
);
-- Hashed, since a request key may be of any length.
CREATE UNIQUE INDEX tasks_request ON tasks (sha256(request_key));
-- However two claims interleave, a chat never runs two tasks.
CREATE UNIQUE INDEX tasks_running ON tasks (chat_id) WHERE state = 'running';
CREATE INDEX tasks_queue ON tasks (position) WHERE state = 'queued';
CREATE INDEX tasks_open ON tasks (chat_id, position) WHERE state IN ('queued', 'running');
CREATE INDEX tasks_by_session ON tasks (session_id, position);
CREATE INDEX tasks_by_chat ON tasks (chat_id, position);
CREATE INDEX tasks_by_age ON tasks (position);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    chat_id uuid CONSTRAINT messages_chat REFERENCES chats,
    session_id uuid CONSTRAINT messages_session REFERENCES sessions,
    task_id uuid NOT NULL CONSTRAINT messages_task REFERENCES tasks,
    role text NOT NULL CONSTRAINT messages_role CHECK (role IN ('user', 'assistant')),
    agent text NOT NULL,
    content json NOT NULL,
    attachments json NOT NULL,
    reasoning json NOT NULL,
    tool_calls json NOT NULL,
    status text NOT NULL CONSTRAINT messages_status
        CHECK (status IN ('queued', 'streaming', 'complete', 'failed', 'cancelled')),
    error json,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT messages_chat_session FOREIGN KEY (chat_id, session_id) REFERENCES chats (id, session_id)
);
CREATE INDEX messages_by_session ON messages (session_id, position);
CREATE INDEX messages_by_chat ON messages (chat_id, position);
CREATE INDEX messages_by_task ON messages (task_id, position);

CREATE TABLE turns (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    task_id uuid NOT NULL CONSTRAINT turns_task REFERENCES tasks,
    message_id uuid NOT NULL CONSTRAINT turns_message REFERENCES messages,
    after bigint NOT NULL CONSTRAINT turns_after CHECK (after >= 0),
    before_tree text,
    after_tree text,
    outcome json,
    started_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX turns_by_task ON turns (task_id, position);

CREATE TABLE agent_sessions (
    chat_id uuid NOT NULL CONSTRAINT agent_sessions_chat REFERENCES chats,
    agent text NOT NULL,
    backend text NOT NULL CONSTRAINT agent_sessions_backend
        CHECK (backend IN ('native', 'acp', 'acp_warm', 'opencode', 'pty')),
    native_id json,
    status text NOT NULL CONSTRAINT agent_sessions_status CHECK (status IN ('active', 'idle', 'crashed', 'closed')),
    resumed text CONSTRAINT agent_sessions_resumed CHECK (resumed IN ('native', 'history', 'new')),
    config_fingerprint json,
    input_tokens bigint NOT NULL CONSTRAINT agent_sessions_input_tokens CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CONSTRAINT agent_sessions_output_tokens CHECK (output_tokens >= 0),
    cost double precision NOT NULL CONSTRAINT agent_sessions_cost CHECK (cost >= 0 AND cost < 'infinity'),
    last_active_at timestamptz,
    PRIMARY KEY (chat_id, agent)
);
CREATE INDEX agent_sessions_live ON agent_sessions (chat_id) WHERE status IN ('active', 'idle');

CREATE TABLE interactions (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    session_id uuid CONSTRAINT interactions_session REFERENCES sessions,
    chat_id uuid CONSTRAINT interactions_chat REFERENCES chats,
    task_id uuid NOT NULL CONSTRAINT interactions_task REFERENCES tasks,
    agent text NOT NULL,
    question json NOT NULL,
    outcome json,
    decided_by text CONSTRAINT interactions_decided_by
        CHECK (decided_by IN ('agent', 'user', 'policy', 'watchdog', 'crash')),
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CONSTRAINT interactions_chat_session FOREIGN KEY (chat_id, session_id) REFERENCES chats (id, session_id),
    CONSTRAINT interactions_settled CHECK (num_nulls(outcome, decided_by, settled_at) IN (0, 3))
);
CREATE INDEX interactions_open ON interactions (position) WHERE settled_at IS NULL;
CREATE INDEX interactions_by_session ON interactions (session_id, position);
CREATE INDEX interactions_by_task ON interactions (task_id, position);

CREATE TABLE worktrees (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    project_id uuid NOT NULL CONSTRAINT worktrees_project REFERENCES projects,
    session_id uuid CONSTRAINT worktrees_session REFERENCES sessions,
    task_id uuid CONSTRAINT worktrees_task REFERENCES tasks,
    path bytea NOT NULL,
    base_commit text NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT worktrees_owner CHECK (num_nonnulls(session_id, task_id) = 1)
);
CREATE UNIQUE INDEX worktrees_one_per_session ON worktrees (session_id) WHERE removed_at IS NULL;
CREATE UNIQUE INDEX worktrees_one_per_task ON worktrees (task_id) WHERE removed_at IS NULL;

CREATE TABLE pending_changes (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    session_id uuid CONSTRAINT pending_changes_session REFERENCES sessions,
    task_id uuid CONSTRAINT pending_changes_task REFERENCES tasks,
    worktree_id uuid CONSTRAINT pending_changes_worktree REFERENCES worktrees,
    file_path json NOT NULL,
    old_path json,
    operation text NOT NULL CONSTRAINT pending_changes_operation
        CHECK (operation IN ('create', 'edit', 'delete', 'rename')),
    status text NOT NULL CONSTRAINT pending_changes_status
        CHECK (status IN ('pending', 'applied', 'rejected', 'reverted', 'superseded', 'stale')),
    agent text,
    base_blob text,
    base_mode text,
    target_blob text,
    target_mode text,
    diff json NOT NULL,
    created_at timestamptz NOT NULL,
    status_at timestamptz,
    CONSTRAINT pending_changes_base CHECK (num_nulls(base_blob, base_mode) IN (0, 2)),
    CONSTRAINT pending_changes_target CHECK (num_nulls(target_blob, target_mode) IN (0, 2))
);
CREATE INDEX pending_changes_by_session ON pending_changes (session_id, position);
CREATE INDEX pending_changes_by_task ON pending_changes (task_id, position);

CREATE TABLE pending_hunks (
    id uuid PRIMARY KEY,
    pending_id uuid NOT NULL CONSTRAINT pending_hunks_pending REFERENCES pending_changes,
    place integer NOT NULL,
    old_start bigint NOT NULL,
    old_lines bigint NOT NULL,
    new_start bigint NOT NULL,
    new_lines bigint NOT NULL,
    diff json NOT NULL,
    status text NOT NULL CONSTRAINT pending_hunks_status
        CHECK (status IN ('pending', 'applied', 'rejected', 'reverted', 'superseded', 'stale')),
    agent text,
    CONSTRAINT pending_hunks_place UNIQUE (pending_id, place)
);

-- The log. The body is the very text that clients are sent; JSON text never holds a raw NUL. There is no foreign key,
-- because checking one would cost more than writing a frame: the statement that writes a batch looks its sessions up.
CREATE TABLE frames (
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (session_id, seq)
);
