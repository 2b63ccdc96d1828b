-- The maintenance message, if there is one
CREATE TABLE maintenance (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    message  TEXT    NOT NULL,
    -- Whether requests for the upstream server are refused
    refuses  INTEGER NOT NULL CHECK (refuses IN (0, 1)),
    since    INTEGER NOT NULL,
    -- When it ends by itself
    until    INTEGER
) STRICT;

-- Invitations: who has the link of one makes an account, once. Of the link's token only the SHA-256 is here
CREATE TABLE invitations (
    id           TEXT    NOT NULL PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- The account's name; NULL if the person chooses it
    name         TEXT,
    email        TEXT    NOT NULL,
    role         TEXT    NOT NULL,
    -- The account of the administrator who made it in a browser, which may have been removed; NULL: a command
    maker        TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER,
    -- The name of the account that was made with it
    used_by      TEXT,
    revoked_at   INTEGER,
    -- What `uptime` said when it was seen to have ended; NULL as long as it can be used
    ended_uptime INTEGER
) STRICT;
