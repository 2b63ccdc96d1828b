-- Accounts, their devices and API keys, the event log, and the change log by which gateways follow each other.
-- Times are Unix seconds; an id of a user is a UUID in text. The columns that both engines have are the same.

CREATE TABLE users (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    name       TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    email      TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    -- argon2id in a PHC string; NULL for an account that has no password
    password   TEXT,
    disabled   BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    -- Since when it is refused until an administrator lifts that, and why; NULL where it is not so. The same of devices and keys
    suspended_at     BIGINT,
    suspended_reason TEXT,
    -- The groups that it is in: a list of names in JSON; NULL for none
    member_of  TEXT,
    -- How much it may use, besides what its role allows: a JSON object; NULL without a limit
    limits     TEXT,
    -- From where it is accepted: a JSON object with the lists `allow` and `deny`; NULL for every address
    addresses  TEXT
);

-- Who a person is at a provider where they sign in: an issuer and its subject, which never change. An account has one at most
CREATE TABLE identities (
    -- The SHA-256 of issuer and subject in hexadecimal digits
    id            TEXT   NOT NULL PRIMARY KEY CHECK (length(id) = 64),
    issuer        TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    user_id       TEXT   NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    created_at    BIGINT NOT NULL,
    -- When the person signed in there last
    signed_in_at  BIGINT NOT NULL,
    -- By which the gateway asks the provider again, encrypted with a key of the secret-file; NULL if it does not ask
    refresh_token BYTEA,
    -- When the provider was asked last, and until when a gateway is asking it
    checked_at    BIGINT,
    lease_until   BIGINT
);
CREATE INDEX identities_to_check ON identities (issuer, checked_at) WHERE refresh_token IS NOT NULL;

CREATE TABLE devices (
    -- `ssh-ed25519 AAAA…`, without a comment
    key          TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    name         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    suspended_at     BIGINT,
    suspended_reason TEXT
);
CREATE INDEX devices_of_account ON devices (user_id);

CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users (id),
    name         TEXT    NOT NULL,
    environment  TEXT,
    -- Lists of texts in JSON; no models means every model
    scopes       TEXT    NOT NULL,
    models       TEXT    NOT NULL,
    expires_at   BIGINT,
    -- The SHA-256 of the key, which itself is nowhere
    hash         BYTEA   NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint         TEXT    NOT NULL,
    replaceable  BOOLEAN NOT NULL,
    -- The key that it replaces, and the first of that chain: both may have been deleted
    replaces     TEXT,
    first        TEXT,
    created_at   BIGINT  NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    suspended_at     BIGINT,
    suspended_reason TEXT,
    -- How much it may use: a JSON object; NULL without a limit
    limits       TEXT,
    -- From where it is accepted: a JSON list of networks; NULL for every address
    addresses    TEXT,
    -- `device:FINGERPRINT`, `key:ID`, `session` or `admin`; NULL for keys of version 0.1.0
    created_by   TEXT,
    -- If a token of a workload was exchanged for it, a digest that tells this token from all others
    exchanged_for BYTEA CHECK (length(exchanged_for) = 32),
    -- What `uptime` said when the key was seen to have ended; NULL as long as it is valid
    ended_uptime BIGINT
);
-- A token is exchanged once
CREATE UNIQUE INDEX keys_of_tokens ON api_keys (exchanged_for);
-- For lists, the newest first
CREATE INDEX keys_of_account ON api_keys (user_id, created_at DESC, id);
CREATE INDEX unrevoked_keys_of_account ON api_keys (user_id, created_at DESC, id) WHERE revoked_at IS NULL;
-- For keys that expire, for those that are valid again because the clock was set back, and for those to delete
CREATE INDEX keys_to_expire ON api_keys (expires_at) WHERE ended_uptime IS NULL AND expires_at IS NOT NULL;
CREATE INDEX expired_keys ON api_keys (expires_at) WHERE ended_uptime IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX keys_to_delete ON api_keys (ended_uptime) WHERE ended_uptime IS NOT NULL;

-- The ids of deleted keys: none is given again. Those of removed accounts are refused as revoked until their retention time is over:
-- then all columns but the id are NULL
CREATE TABLE deleted_keys (
    id             TEXT NOT NULL PRIMARY KEY,
    hash           BYTEA CHECK (length(hash) = 32),
    user_id        TEXT,
    removed_at     BIGINT,
    removed_uptime BIGINT
);
CREATE INDEX keys_of_removed_accounts ON deleted_keys (removed_uptime) WHERE hash IS NOT NULL;

-- `record` is what is shown: one JSON object on one line, which is never changed. It is NULL in events of version 0.1.0; the other columns
-- are for filters and for those
CREATE TABLE events (
    id         BIGINT NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    detail     TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    account_id TEXT,
    account    TEXT,
    details    TEXT,
    count      BIGINT NOT NULL DEFAULT 1 CHECK (count > 0),
    last_at    BIGINT,
    uptime     BIGINT NOT NULL DEFAULT 0,
    record     TEXT,
    code       TEXT,
    request    TEXT,
    -- Where it is in its tree, counted from 0. NULL until it is taken in
    log        BIGINT,
    log_index  BIGINT,
    -- A name that no other event has, of those that are stored again if it is not known whether they were: refusals
    sequence   TEXT
);
CREATE UNIQUE INDEX events_once ON events (sequence) WHERE sequence IS NOT NULL;
CREATE UNIQUE INDEX events_of_log ON events (log, log_index);
CREATE INDEX events_outside_of_logs ON events (id) WHERE log IS NULL;
-- For filters: events are found without reading all of them
CREATE INDEX events_of_account_name ON events (account, id) WHERE account IS NOT NULL;
CREATE INDEX events_of_account ON events (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX events_of_action ON events (action, id);
CREATE INDEX events_of_subject ON events (subject, id);
CREATE INDEX events_of_actor ON events (actor, id);
CREATE INDEX events_of_address ON events (address, id) WHERE address <> '';
CREATE INDEX events_of_code ON events (code, id) WHERE code IS NOT NULL;
CREATE INDEX events_of_request ON events (request, id) WHERE request IS NOT NULL;

-- Between which times the events lie whose number divided by 1,024 is `block`. The clock can be set back, so the order of events is not that
-- of their times. The latest blocks are not here yet
CREATE TABLE event_times (
    block    BIGINT NOT NULL PRIMARY KEY,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL
);

-- The Merkle trees (RFC 6962) of which events are the leaves; the last one grows. After a restore an administrator begins another
CREATE TABLE audit_logs (
    number   BIGINT NOT NULL PRIMARY KEY,
    -- The origin in its checkpoints: a name that no other log has
    origin   TEXT   NOT NULL UNIQUE,
    size     BIGINT NOT NULL,
    -- Its size in eight bytes, and the hashes of the largest complete subtrees that it consists of, from the left
    frontier BYTEA  NOT NULL,
    -- What `uptime` said when old events were removed last
    removed_uptime BIGINT,
    -- How many bytes the lines of the log have together
    bytes    BIGINT NOT NULL DEFAULT 0,
    -- While events of an earlier version are taken in in batches: the index of the first of them
    importing_from BIGINT
);
INSERT INTO audit_logs VALUES (1, 'ollama-auth-gateway/' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16), 0, '\x0000000000000000', NULL);

-- Checkpoints: what gateways have signed of a log, as signed notes (C2SP)
CREATE TABLE audit_checkpoints (
    number  BIGINT NOT NULL PRIMARY KEY,
    log     BIGINT NOT NULL,
    size    BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    note    TEXT   NOT NULL
);

-- The hashes of leaves, and of complete subtrees of 256 leaves, of 65,536, and so on
CREATE TABLE audit_hashes (
    -- Of which subtree: see src/gateway/store/sql/audit_log.rs
    place BIGINT NOT NULL PRIMARY KEY,
    hash  BYTEA  NOT NULL CHECK (length(hash) = 32)
);

-- How long gateways have run in all, in seconds. Unlike the clock it cannot be set. `swept_at` is the database's time of the last count:
-- of several gateways one counts
CREATE TABLE uptime (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    seconds  BIGINT  NOT NULL,
    swept_at TIMESTAMPTZ
);
INSERT INTO uptime (only_row, seconds) VALUES (1, 0);

-- The maintenance message, if there is one
CREATE TABLE maintenance (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    message  TEXT    NOT NULL,
    -- Whether requests for the upstream server are refused
    refuses  BOOLEAN NOT NULL,
    since    BIGINT  NOT NULL,
    -- When it ends by itself
    until    BIGINT
);

-- Invitations: who has the link of one makes an account, once. Of the link's token only the SHA-256 is here
CREATE TABLE invitations (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         BYTEA  NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- The account's name; NULL if the person chooses it
    name         TEXT,
    email        TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    -- The account of the administrator who made it in a browser, which may have been removed; NULL: a command
    maker        TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT,
    -- The name of the account that was made with it
    used_by      TEXT,
    revoked_at   BIGINT,
    -- What `uptime` said when it was seen to have ended; NULL as long as it can be used
    ended_uptime BIGINT
);

-- What is added up together: the requests of a credential (of API keys, a line of replacements) with a model. One without account and
-- credential is the sum of everybody, so that totals by time or by model are read without reading all series. Numbers are below 2^32
CREATE TABLE usage_series (
    number     BIGINT NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    account    TEXT   NOT NULL,
    credential TEXT   NOT NULL,
    model      TEXT   NOT NULL,
    UNIQUE (account, credential, model)
);

-- Requests that ended
CREATE TABLE usage_records (
    id             BIGINT NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    ended_at       BIGINT NOT NULL,
    series         BIGINT NOT NULL,
    credential     TEXT   NOT NULL,
    environment    TEXT,
    network        TEXT   NOT NULL,
    request        TEXT   NOT NULL,
    route          TEXT   NOT NULL,
    http_status    BIGINT NOT NULL,
    -- `complete`, `failed`, `cut` or `cancelled`
    status         TEXT   NOT NULL,
    input          BIGINT NOT NULL,
    output         BIGINT NOT NULL,
    is_estimate    BOOLEAN NOT NULL,
    first_token_ms BIGINT,
    total_ms       BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    -- What `uptime` said when it was written
    uptime         BIGINT NOT NULL
);
CREATE INDEX usage_records_by_end ON usage_records (ended_at, id);
CREATE INDEX usage_records_of_series ON usage_records (series, ended_at, id);

-- Totals by hour, of Unix time. `place` is the hour (seconds / 3,600) times 2^32, plus the number of the series
CREATE TABLE usage_hours (
    place     BIGINT NOT NULL PRIMARY KEY,
    series    BIGINT NOT NULL,
    requests  BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    cut       BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    refused   BIGINT NOT NULL,
    input     BIGINT NOT NULL,
    output    BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    busy_ms   BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    -- What `uptime` said when something was added last
    uptime    BIGINT NOT NULL
);
CREATE INDEX usage_hours_of_series ON usage_hours (series, place);

-- Totals by day, of the local date. `place` is the day (since 1970-01-01) times 2^32, plus the number of the series
CREATE TABLE usage_days (
    place     BIGINT NOT NULL PRIMARY KEY,
    series    BIGINT NOT NULL,
    requests  BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    cut       BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    refused   BIGINT NOT NULL,
    input     BIGINT NOT NULL,
    output    BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    busy_ms   BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    -- What `uptime` said when something was added last
    uptime    BIGINT NOT NULL
);
CREATE INDEX usage_days_of_series ON usage_days (series, place);

-- Totals of 4 and of 16 days, beside those of each day, so that a long time is added up from few rows. `place` is the number of the span times
-- 2^32, plus the number of the series; see src/gateway/store/sql/usage_spans.rs
CREATE TABLE usage_spans (
    place     BIGINT NOT NULL PRIMARY KEY,
    series    BIGINT NOT NULL,
    requests  BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    cut       BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    refused   BIGINT NOT NULL,
    input     BIGINT NOT NULL,
    output    BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    busy_ms   BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    -- What `uptime` said when something was added last
    uptime    BIGINT NOT NULL
);

-- The last batch of each run of a gateway: it is not written again
CREATE TABLE usage_batches (
    run      TEXT   NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    uptime   BIGINT NOT NULL
);

-- When a credential used a scope with a model last
CREATE TABLE last_uses (
    number     BIGINT NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    account    TEXT   NOT NULL,
    credential TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    model      TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    uptime     BIGINT NOT NULL,
    UNIQUE (account, credential, scope, model)
);

-- What was used of budgets of tokens: a total for each window of each budget
CREATE TABLE budget_totals (
    -- The budget and the window, for instance `day:20789:person:ID`
    id      TEXT   NOT NULL PRIMARY KEY,
    tokens  BIGINT NOT NULL,
    -- When the window ends, in Unix seconds
    ends_at BIGINT NOT NULL,
    -- What `budget_version` said when something was added last
    version BIGINT NOT NULL,
    -- What `uptime` says when the window ends, if a gateway runs until then
    uptime  BIGINT NOT NULL
);
CREATE INDEX budget_totals_by_version ON budget_totals (version);
CREATE INDEX budget_totals_by_end ON budget_totals (ends_at);

-- How often something was added. Who adds something locks it, so that versions are in the order of the commits
CREATE TABLE budget_version (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version  BIGINT  NOT NULL
);
INSERT INTO budget_version VALUES (1, 0);

-- What was changed, in the order of the commits: who changes something locks the row of `change_head` first. The token is random: two
-- databases whose histories differ do not have the same one at the same number
CREATE TABLE change_head (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    number   BIGINT  NOT NULL,
    token    BIGINT  NOT NULL
);
INSERT INTO change_head VALUES (1, 0, 0);

CREATE TABLE change_log (
    number    BIGINT NOT NULL PRIMARY KEY,
    token     BIGINT NOT NULL,
    -- `user`, `device`, `key`, `forgotten-key`, `pending-device`, `session`, `sessions` (of an account), `provider-session` (all that began with it), `maintenance`, `invitation`, `identity`; and which one
    kind      TEXT   NOT NULL,
    reference TEXT   NOT NULL
);

-- Devices that asked for approval: for ten minutes each gateway can approve those that asked at another. Times are the database's
CREATE TABLE pending_devices (
    key      TEXT        NOT NULL PRIMARY KEY,
    address  TEXT        NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- A person said no to it
    denied   BOOLEAN     NOT NULL DEFAULT FALSE
);
CREATE INDEX pending_devices_to_delete ON pending_devices (asked_at);

-- Browser sessions. Times are the database's
CREATE TABLE sessions (
    -- The SHA-256 of the cookie
    digest       BYTEA       NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id      TEXT        NOT NULL,
    since        TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    seen_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- When the password was typed last
    confirmed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- A digest of the sign-in at a provider that it began with
    provider_session BYTEA CHECK (length(provider_session) = 32)
);
CREATE INDEX sessions_of_account ON sessions (user_id);

-- The secret of the gateways that run, by a fingerprint that does not tell it: all must have the same one
CREATE TABLE gateway_secret (
    only_row    INTEGER     NOT NULL PRIMARY KEY CHECK (only_row = 1),
    fingerprint BYTEA,
    seen_at     TIMESTAMPTZ
);
INSERT INTO gateway_secret VALUES (1, NULL, NULL);

-- The gateways that run, by an id of each start, and when they were seen last: they share limits. Times are the database's
CREATE TABLE gateways (
    id      TEXT        NOT NULL PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- Signatures that may be used once, by all gateways together, by the SHA-256 of what was signed. Times are the database's
CREATE TABLE used_signatures (
    digest     BYTEA       NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    address    TEXT        NOT NULL,
    used_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX signatures_to_delete ON used_signatures (expires_at);

-- Limits on attempts to sign in, which all gateways count together, by a keyed hash of what is limited: `until` is the time at which the
-- limit is full again. Of an address from which a person has signed in, it is the time until which that counts. Times are the database's
CREATE TABLE sign_in_attempts (
    digest BYTEA       NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  TIMESTAMPTZ NOT NULL
);
CREATE INDEX attempts_to_delete ON sign_in_attempts (until);

-- The oldest migration whose program can use this schema. A migration that only adds leaves it as it is
CREATE TABLE schema_compatibility (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    oldest   BIGINT  NOT NULL
);
INSERT INTO schema_compatibility VALUES (1, 1);
