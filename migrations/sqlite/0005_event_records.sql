-- Events are lines that are never changed; keys know what created them; a newer schema says which versions can use it.

-- One JSON object on one line: what is shown. NULL in older events; the other columns are for filters and for those
ALTER TABLE events ADD COLUMN record TEXT;
-- Why it was refused
ALTER TABLE events ADD COLUMN code TEXT;
-- The id of the request
ALTER TABLE events ADD COLUMN request TEXT;

-- `device:FINGERPRINT`, `key:ID`, `session` or `admin`; NULL for older keys
ALTER TABLE api_keys ADD COLUMN created_by TEXT;

-- The oldest migration whose program can use this schema. A migration that only adds leaves it as it is
CREATE TABLE schema_compatibility (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    oldest   INTEGER NOT NULL
) STRICT;
INSERT INTO schema_compatibility VALUES (1, 5);
