-- Accounts, their devices and API keys, and what happened. Times are Unix seconds; an id of a user is a UUID in text.

CREATE TABLE users (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    name       TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    email      TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    -- argon2id in a PHC string; NULL for an account that has no password
    password   TEXT,
    disabled   INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    -- `ssh-ed25519 AAAA…`, without a comment
    key          TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users (id),
    name         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users (id),
    name         TEXT    NOT NULL,
    environment  TEXT,
    -- Lists of texts in JSON; no models means every model
    scopes       TEXT    NOT NULL CHECK (json_type(scopes) = 'array'),
    models       TEXT    NOT NULL CHECK (json_type(models) = 'array'),
    expires_at   INTEGER,
    -- The SHA-256 of the key, which itself is nowhere
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint         TEXT    NOT NULL,
    replaceable  INTEGER NOT NULL CHECK (replaceable IN (0, 1)),
    replaces     TEXT    REFERENCES api_keys (id),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

CREATE TABLE events (
    -- Never used again, so that the order is that of what happened
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL,
    address TEXT    NOT NULL
) STRICT;
