-- Events are found by what filters compare, without reading all of them. An index has the event's number behind each value

CREATE INDEX events_of_account_name ON events (account) WHERE account IS NOT NULL;
CREATE INDEX events_of_account ON events (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX events_of_action ON events (action);
CREATE INDEX events_of_subject ON events (subject);
CREATE INDEX events_of_actor ON events (actor);
CREATE INDEX events_of_address ON events (address) WHERE address <> '';
CREATE INDEX events_of_code ON events (code) WHERE code IS NOT NULL;
CREATE INDEX events_of_request ON events (request) WHERE request IS NOT NULL;

-- Between which times the events lie whose number divided by 1,024 is `block`. The clock can be set back, so the order of events is not that
-- of their times. The latest blocks are not here yet
CREATE TABLE event_times (
    block    INTEGER NOT NULL PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT;
INSERT INTO event_times
SELECT id / 1024, min(at), max(coalesce(last_at, at)) FROM events
WHERE id < ((SELECT max(id) FROM events) / 1024 - 1) * 1024 GROUP BY id / 1024;
