-- Tokens of jobs: each is good for one attempt.

-- tasks.n of the attempt; NULL: a token or ticket of somebody else. It is also worth nothing once the lease of the
-- attempt's runner is over (sql/query/credential_find.sql).
ALTER TABLE credentials ADD COLUMN task INTEGER;

CREATE INDEX credentials_of_task ON credentials (task) WHERE task IS NOT NULL;

CREATE TRIGGER tasks_end_tokens AFTER UPDATE OF status ON tasks
WHEN old.status = 'running' AND new.status <> 'running'
BEGIN
    UPDATE credentials SET revoked_at = new.updated_at WHERE task = new.n AND revoked_at IS NULL;
END;

CREATE TRIGGER tasks_deleted_tokens AFTER DELETE ON tasks BEGIN
    DELETE FROM credentials WHERE task = old.n;
END;
