-- Runners, requests to stop a task that runs, agent sessions that are parked, and logs whose beginning was removed.

-- Each is a process that keeps one agent. How far its journal is taken in is written with every group of frames that came
-- from it; so half of each page is kept free, and the new version of a row stays on its page and out of the indexes.
CREATE TABLE runners (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    chat_id uuid CONSTRAINT runners_chat REFERENCES chats,
    task_id uuid NOT NULL CONSTRAINT runners_task REFERENCES tasks,
    agent text NOT NULL,
    consumed bigint NOT NULL CONSTRAINT runners_consumed CHECK (consumed >= 0),
    ledger json NOT NULL,
    turn json,
    created_at timestamptz NOT NULL,
    ended_at timestamptz
) WITH (fillfactor = 50);
-- No two of them keep the same agent of the same chat. Those without a chat do not meet here, since null equals nothing.
CREATE UNIQUE INDEX runners_one_per_agent ON runners (chat_id, agent) WHERE ended_at IS NULL;
CREATE INDEX runners_live ON runners (position) WHERE ended_at IS NULL;

ALTER TABLE tasks ADD COLUMN cancel_requested text CONSTRAINT tasks_cancel_requested
    CHECK (cancel_requested IN ('agent', 'user', 'policy', 'watchdog', 'crash'));

ALTER TABLE agent_sessions
    DROP CONSTRAINT agent_sessions_status,
    ADD CONSTRAINT agent_sessions_status CHECK (status IN ('active', 'idle', 'crashed', 'closed', 'parked'));

-- The frames of a session up to this number were removed. The next number follows on from it if no frame is left.
ALTER TABLE sessions ADD COLUMN log_floor bigint NOT NULL DEFAULT 0 CONSTRAINT sessions_log_floor CHECK (log_floor >= 0);

CREATE INDEX messages_streaming ON messages (position) WHERE status = 'streaming';
