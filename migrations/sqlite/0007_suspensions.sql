-- Accounts, devices and keys that are refused until an administrator lifts that: since when, and why. NULL where it is not so
ALTER TABLE users ADD COLUMN suspended_at INTEGER;
ALTER TABLE users ADD COLUMN suspended_reason TEXT;
ALTER TABLE devices ADD COLUMN suspended_at INTEGER;
ALTER TABLE devices ADD COLUMN suspended_reason TEXT;
ALTER TABLE api_keys ADD COLUMN suspended_at INTEGER;
ALTER TABLE api_keys ADD COLUMN suspended_reason TEXT;

-- An older gateway would accept what is suspended
UPDATE schema_compatibility SET oldest = 7;
