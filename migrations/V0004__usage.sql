-- The usage ledger: what was used, line by line. Totals are sums of these, and are kept nowhere else.

-- What one report brought that was new. A journal that is read again makes lines with the same ids, which are there
-- already. Money is counted in billionths of its currency, so that sums are exact.
CREATE TABLE usage_entries (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    task_id uuid NOT NULL CONSTRAINT usage_entries_task REFERENCES tasks,
    turn_id uuid CONSTRAINT usage_entries_turn REFERENCES turns,
    kind text NOT NULL CONSTRAINT usage_entries_kind CHECK (kind IN ('delta', 'running_total', 'context_size')),
    source text NOT NULL CONSTRAINT usage_entries_source CHECK (source IN ('agent', 'step_event', 'price_table')),
    input_tokens bigint NOT NULL CONSTRAINT usage_entries_input_tokens CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CONSTRAINT usage_entries_output_tokens CHECK (output_tokens >= 0),
    cost_nanos bigint CONSTRAINT usage_entries_cost_nanos CHECK (cost_nanos >= 0),
    currency text,
    context_used bigint,
    context_size bigint,
    at timestamptz NOT NULL,
    CONSTRAINT usage_entries_cost CHECK (num_nulls(cost_nanos, currency) IN (0, 2)),
    CONSTRAINT usage_entries_context CHECK (num_nulls(context_used, context_size) IN (0, 2))
);
CREATE INDEX usage_entries_by_task ON usage_entries (task_id, position);
CREATE INDEX usage_entries_by_time ON usage_entries (at);
CREATE INDEX turns_by_time ON turns (started_at);

-- What was known of each agent session becomes its first line, under the last task that it had. A runner that lives has
-- taken in more than that. A cost of zero was written also where nobody had told one. Costs were in US dollars.
INSERT INTO usage_entries (id, task_id, kind, source, input_tokens, output_tokens, cost_nanos, currency, at)
SELECT gen_random_uuid(), last.id, 'running_total', 'agent', used.input, used.output,
       CASE WHEN used.cost > 0 THEN round(least(used.cost, 9223372036)::numeric * 1000000000)::bigint END,
       CASE WHEN used.cost > 0 THEN 'USD' END, coalesce(agent_sessions.last_active_at, last.created_at)
FROM agent_sessions
JOIN LATERAL (
    SELECT id, created_at FROM tasks
    WHERE tasks.chat_id = agent_sessions.chat_id AND tasks.agent = agent_sessions.agent
    ORDER BY position DESC LIMIT 1
) AS last ON true
LEFT JOIN runners ON runners.chat_id = agent_sessions.chat_id AND runners.agent = agent_sessions.agent
    AND runners.ended_at IS NULL
CROSS JOIN LATERAL (
    SELECT least(greatest(input_tokens, (ledger->'added'->>'input')::numeric, (ledger->'told'->>'input')::numeric),
                 9223372036854775807)::bigint AS input,
           least(greatest(output_tokens, (ledger->'added'->>'output')::numeric, (ledger->'told'->>'output')::numeric),
                 9223372036854775807)::bigint AS output,
           greatest(cost, (ledger->'added'->>'cost')::double precision, (ledger->'told'->>'cost')::double precision) AS cost
) AS used
WHERE used.input > 0 OR used.output > 0 OR used.cost > 0;

-- These are neither read nor written any more; a later version drops them.
ALTER TABLE agent_sessions
    ALTER COLUMN input_tokens SET DEFAULT 0,
    ALTER COLUMN output_tokens SET DEFAULT 0,
    ALTER COLUMN cost SET DEFAULT 0;
