-- Keys of removed accounts are refused as revoked. As other keys that have ended, until their retention time is over: then all
-- columns but the id are NULL.

ALTER TABLE deleted_keys ADD COLUMN hash BLOB CHECK (length(hash) = 32);
-- Its account, which was removed
ALTER TABLE deleted_keys ADD COLUMN user_id TEXT;
-- When the account was removed, in Unix seconds, and what `uptime` said then
ALTER TABLE deleted_keys ADD COLUMN removed_at INTEGER;
ALTER TABLE deleted_keys ADD COLUMN removed_uptime INTEGER;

CREATE INDEX keys_of_removed_accounts ON deleted_keys (removed_uptime) WHERE hash IS NOT NULL;
