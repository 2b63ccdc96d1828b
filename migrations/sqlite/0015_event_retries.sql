-- An event is stored once even if it is stored again, and the event log can be kept below a size.

-- A name that no other event has, of those that are stored again if it is not known whether they were: refusals
ALTER TABLE events ADD COLUMN sequence TEXT;
CREATE UNIQUE INDEX events_once ON events (sequence) WHERE sequence IS NOT NULL;

-- How many bytes the lines of a log have together
ALTER TABLE audit_logs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE audit_logs SET bytes = (SELECT coalesce(sum(octet_length(record)), 0) FROM events WHERE log = number);
