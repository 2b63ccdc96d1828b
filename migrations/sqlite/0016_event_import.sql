-- While events of an earlier version are taken into the log in batches: the index of the first of them
ALTER TABLE audit_logs ADD COLUMN importing_from INTEGER;
