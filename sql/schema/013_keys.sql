-- A key goes with its task: it has nothing to answer any more. One that stands for an identical request (GET /run)
-- has no other end.

CREATE INDEX idempotency_by_task ON idempotency (task);

CREATE TRIGGER tasks_deleted_keys AFTER DELETE ON tasks BEGIN
    DELETE FROM idempotency WHERE task = old.n;
END;
