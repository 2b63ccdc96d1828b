-- Keys that have ended can be deleted: a key no longer needs the record of the one that it replaces, but knows the first of them.

-- Without it every step below would look at all keys
CREATE INDEX by_replaced ON api_keys (replaces);

CREATE TABLE keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users (id),
    name         TEXT    NOT NULL,
    environment  TEXT,
    scopes       TEXT    NOT NULL CHECK (json_type(scopes) = 'array'),
    models       TEXT    NOT NULL CHECK (json_type(models) = 'array'),
    expires_at   INTEGER,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint         TEXT    NOT NULL,
    replaceable  INTEGER NOT NULL CHECK (replaceable IN (0, 1)),
    -- The key that it replaces, which may have been deleted
    replaces     TEXT,
    -- The first key of that chain, which may have been deleted; NULL if it replaces none
    first        TEXT,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    -- What `uptime` said when the key was seen to have ended; NULL as long as it is valid
    ended_uptime INTEGER
) STRICT;

WITH RECURSIVE chain (id, first) AS (
    SELECT id, id FROM api_keys WHERE replaces IS NULL
    UNION ALL
    SELECT api_keys.id, chain.first FROM chain JOIN api_keys ON api_keys.replaces = chain.id
)
INSERT INTO keys
SELECT
    api_keys.id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, replaces,
    CASE WHEN replaces IS NOT NULL THEN coalesce(chain.first, replaces) END,
    created_at, last_used_at, revoked_at, CASE WHEN revoked_at IS NOT NULL THEN 0 END
FROM api_keys LEFT JOIN chain ON chain.id = api_keys.id
ORDER BY api_keys.rowid;

DROP TABLE api_keys;
ALTER TABLE keys RENAME TO api_keys;

-- For lists, the newest first
CREATE INDEX keys_of_account ON api_keys (user_id, created_at DESC, id);
CREATE INDEX unrevoked_keys_of_account ON api_keys (user_id, created_at DESC, id) WHERE revoked_at IS NULL;
-- For keys that expire, for those that are valid again because the clock was set back, and for those to delete
CREATE INDEX keys_to_expire ON api_keys (expires_at) WHERE ended_uptime IS NULL AND expires_at IS NOT NULL;
CREATE INDEX expired_keys ON api_keys (expires_at) WHERE ended_uptime IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX keys_to_delete ON api_keys (ended_uptime) WHERE ended_uptime IS NOT NULL;

-- The ids of deleted keys: none is given again
CREATE TABLE deleted_keys (id TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

-- How long the gateway has run in all, in seconds. Unlike the clock it cannot be set
CREATE TABLE uptime (only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1), seconds INTEGER NOT NULL) STRICT;
INSERT INTO uptime VALUES (1, 0);

-- What it said when the event was recorded
ALTER TABLE events ADD COLUMN uptime INTEGER NOT NULL DEFAULT 0;
