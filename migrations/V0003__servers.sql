-- Several servers on one database: who is alive, who owns what, and answers on their way to the server that asked.

-- A server is alive until its lease ends. Whoever speaks for it next, or takes over what it owned, raises its fence; every
-- write names the fence that it was begun under, and locks this row against that.
CREATE TABLE servers (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    fence bigint NOT NULL CONSTRAINT servers_fence CHECK (fence > 0),
    alive_until timestamptz NOT NULL,
    registered_at timestamptz NOT NULL
);

-- Null where one server has the database for itself. What was taken over remembers from whom: its agent lives elsewhere, so
-- it can only be settled.
ALTER TABLE tasks
    ADD COLUMN server_id uuid CONSTRAINT tasks_server REFERENCES servers,
    ADD COLUMN taken_from uuid CONSTRAINT tasks_taken_from REFERENCES servers;
CREATE INDEX tasks_by_server ON tasks (server_id) WHERE state = 'running';

ALTER TABLE runners ADD COLUMN server_id uuid CONSTRAINT runners_server REFERENCES servers;
CREATE INDEX runners_by_server ON runners (server_id) WHERE ended_at IS NULL;

CREATE TABLE wishes (
    interaction_id uuid PRIMARY KEY CONSTRAINT wishes_interaction REFERENCES interactions,
    outcome json NOT NULL,
    wished_at timestamptz NOT NULL
);
