-- The event log becomes one that an outsider can verify: each event is a leaf of a Merkle tree (RFC 6962), in the order of the log.

-- The trees; the last one grows. After a restore an administrator begins another
CREATE TABLE audit_logs (
    number   INTEGER NOT NULL PRIMARY KEY,
    -- The origin in its checkpoints: a name that no other log has
    origin   TEXT    NOT NULL UNIQUE,
    size     INTEGER NOT NULL,
    -- Its size in eight bytes, and the hashes of the largest complete subtrees that it consists of, from the left
    frontier BLOB    NOT NULL,
    -- What `uptime` said when old events were removed last
    removed_uptime INTEGER
) STRICT;
INSERT INTO audit_logs VALUES (1, 'ollama-auth-gateway/' || lower(hex(randomblob(8))), 0, zeroblob(8), NULL);

-- The hashes of leaves, and of complete subtrees of 256 leaves, of 65,536, and so on
CREATE TABLE audit_hashes (
    -- Of which subtree: see src/gateway/store/sql/audit_log.rs
    place INTEGER NOT NULL PRIMARY KEY,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Checkpoints: what gateways have signed of a log, as signed notes (C2SP)
CREATE TABLE audit_checkpoints (
    number  INTEGER NOT NULL PRIMARY KEY,
    log     INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    note    TEXT    NOT NULL
) STRICT;

-- Where an event is in its tree, counted from 0. NULL until it is taken in: then a version before this has written it
ALTER TABLE events ADD COLUMN log INTEGER;
ALTER TABLE events ADD COLUMN log_index INTEGER;
CREATE UNIQUE INDEX events_of_log ON events (log, log_index);
CREATE INDEX events_outside_of_logs ON events (id) WHERE log IS NULL;
