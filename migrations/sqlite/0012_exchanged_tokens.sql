-- Of a key that a token of a workload was exchanged for: a digest that tells this token from all others. A token is exchanged once
ALTER TABLE api_keys ADD COLUMN exchanged_for BLOB CHECK (length(exchanged_for) = 32);
CREATE UNIQUE INDEX keys_of_tokens ON api_keys (exchanged_for);
