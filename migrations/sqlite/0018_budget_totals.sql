-- What was used of budgets of tokens.

-- A total for each window of each budget
CREATE TABLE budget_totals (
    -- The budget and the window, for instance `day:20789:person:ID`
    id      TEXT    NOT NULL PRIMARY KEY,
    tokens  INTEGER NOT NULL,
    -- When the window ends, in Unix seconds
    ends_at INTEGER NOT NULL,
    -- What `budget_version` said when something was added last
    version INTEGER NOT NULL,
    -- What `uptime` says when the window ends, if a gateway runs until then
    uptime  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_totals_by_version ON budget_totals (version);
CREATE INDEX budget_totals_by_end ON budget_totals (ends_at);

-- How often something was added. Who adds something locks it, so that versions are in the order of the commits
CREATE TABLE budget_version (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO budget_version VALUES (1, 0);
