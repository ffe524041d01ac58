-- How a transaction is known to have been committed if the answer to its COMMIT was lost. The number of a transaction does not
-- tell: one that the database loses in a crash leaves its number to another.

-- Each transaction writes a token into a row that is nobody else's until its end is known. Rows are used again; those that a
-- process left behind are deleted once they are old. No index but the key's, and room on the page: a row changes in place.
CREATE TABLE commit_marks (
    id uuid PRIMARY KEY,
    token bigint NOT NULL,
    used_at timestamptz NOT NULL
) WITH (fillfactor = 20);
