-- Events name the account that they concern, hold their details as JSON, and may stand for several equal ones.

-- Both as they were then: an account may have been removed since, and its name given to another
ALTER TABLE events ADD COLUMN account_id TEXT;
ALTER TABLE events ADD COLUMN account TEXT;
-- An object. NULL in older events, whose `detail` is a sentence; in the others `detail` is empty
ALTER TABLE events ADD COLUMN details TEXT CHECK (json_type(details) = 'object');
-- How often it happened: the first time is `at`, the last one `last_at` (NULL: the same)
ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1 CHECK (count > 0);
ALTER TABLE events ADD COLUMN last_at INTEGER;
