-- What requests used: one record for each, and totals.

-- What is added up together: the requests of a credential (of API keys, a line of replacements) with a model. One without account and
-- credential is the sum of everybody, so that totals by time or by model are read without reading all series. Numbers are below 2^32
CREATE TABLE usage_series (
    number     INTEGER NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    UNIQUE (account, credential, model)
) STRICT;

-- Requests that ended
CREATE TABLE usage_records (
    id             INTEGER NOT NULL PRIMARY KEY,
    ended_at       INTEGER NOT NULL,
    series         INTEGER NOT NULL,
    credential     TEXT    NOT NULL,
    environment    TEXT,
    network        TEXT    NOT NULL,
    request        TEXT    NOT NULL,
    route          TEXT    NOT NULL,
    http_status    INTEGER NOT NULL,
    -- `complete`, `failed`, `cut` or `cancelled`
    status         TEXT    NOT NULL,
    input          INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    is_estimate    INTEGER NOT NULL,
    first_token_ms INTEGER,
    total_ms       INTEGER NOT NULL,
    bytes          INTEGER NOT NULL,
    -- What `uptime` said when it was written
    uptime         INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_records_by_end ON usage_records (ended_at);
CREATE INDEX usage_records_of_series ON usage_records (series, ended_at);

-- Totals by hour, of Unix time. `place` is the hour (seconds / 3,600) times 2^32, plus the number of the series
CREATE TABLE usage_hours (
    place     INTEGER NOT NULL PRIMARY KEY,
    series    INTEGER NOT NULL,
    requests  INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cut       INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    refused   INTEGER NOT NULL,
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    busy_ms   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    -- What `uptime` said when something was added last
    uptime    INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_hours_of_series ON usage_hours (series);

-- Totals by day, of the local date. `place` is the day (since 1970-01-01) times 2^32, plus the number of the series
CREATE TABLE usage_days (
    place     INTEGER NOT NULL PRIMARY KEY,
    series    INTEGER NOT NULL,
    requests  INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cut       INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    refused   INTEGER NOT NULL,
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    busy_ms   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    -- What `uptime` said when something was added last
    uptime    INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_days_of_series ON usage_days (series);

-- Totals of 4 and of 16 days, beside those of each day, so that a long time is added up from few rows. `place` is the number of the span times
-- 2^32, plus the number of the series; see src/gateway/store/sql/usage_spans.rs
CREATE TABLE usage_spans (
    place     INTEGER NOT NULL PRIMARY KEY,
    series    INTEGER NOT NULL,
    requests  INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cut       INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    refused   INTEGER NOT NULL,
    input     INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    busy_ms   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    -- What `uptime` said when something was added last
    uptime    INTEGER NOT NULL
) STRICT;

-- The last batch of each run of a gateway: it is not written again
CREATE TABLE usage_batches (
    run      TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    uptime   INTEGER NOT NULL
) STRICT;

-- When a credential used a scope with a model last
CREATE TABLE last_uses (
    number     INTEGER NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    uptime     INTEGER NOT NULL,
    UNIQUE (account, credential, scope, model)
) STRICT;
