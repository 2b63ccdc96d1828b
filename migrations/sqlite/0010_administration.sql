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
