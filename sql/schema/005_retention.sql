-- What may go, oldest first.

CREATE INDEX tasks_finished ON tasks (completed_at)
    WHERE status IN ('completed', 'failed', 'timeout', 'cancelled');
