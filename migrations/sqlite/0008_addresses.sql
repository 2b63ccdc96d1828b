-- From which addresses accounts and API keys are accepted; NULL for every address. Of an account a JSON object with the lists `allow` and
-- `deny`, of a key one list
ALTER TABLE users ADD COLUMN addresses TEXT;
ALTER TABLE api_keys ADD COLUMN addresses TEXT;

-- An older gateway would accept them from everywhere
UPDATE schema_compatibility SET oldest = 8;
