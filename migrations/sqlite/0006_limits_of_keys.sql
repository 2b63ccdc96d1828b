-- How much a key may use: a JSON object; NULL without a limit
ALTER TABLE api_keys ADD COLUMN limits TEXT;

-- An older gateway would apply no limit, and would leave it out of the keys that replace a limited one
UPDATE schema_compatibility SET oldest = 6;
