-- Who a person is at a provider where they sign in: an issuer and its subject, which never change. An account has one at most
CREATE TABLE identities (
    -- The SHA-256 of issuer and subject in hexadecimal digits
    id            TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 64),
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    user_id       TEXT    NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    created_at    INTEGER NOT NULL,
    -- When the person signed in there last
    signed_in_at  INTEGER NOT NULL,
    -- By which the gateway asks the provider again, encrypted with a key of the secret-file; NULL if it does not ask
    refresh_token BLOB,
    -- When the provider was asked last, and until when a gateway is asking it
    checked_at    INTEGER,
    lease_until   INTEGER
) STRICT;
CREATE INDEX identities_to_check ON identities (issuer, checked_at) WHERE refresh_token IS NOT NULL;
