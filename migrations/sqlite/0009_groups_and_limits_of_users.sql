-- The groups that an account is in: a list of names in JSON; NULL for none
ALTER TABLE users ADD COLUMN member_of TEXT;
-- How much it may use, besides what its role allows: a JSON object; NULL without a limit
ALTER TABLE users ADD COLUMN limits TEXT;

-- An older gateway would apply none of these limits
UPDATE schema_compatibility SET oldest = 9;
