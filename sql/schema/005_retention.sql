-- What may go, oldest first.

CREATE INDEX tasks_finished ON tasks (completed_at)
    WHERE completed_at IS NOT NULL; -- that is: finished

-- The events of no task (of groups, of deleted tasks) go by their own age.
CREATE INDEX events_of_no_task ON events (ts) WHERE task IS NULL;

CREATE TRIGGER events_deleted_of_no_task AFTER DELETE ON events
WHEN old.task IS NULL
BEGIN
    INSERT INTO owners (name, evicted_seq) VALUES (old.owner, old.seq)
        ON CONFLICT DO UPDATE SET evicted_seq = max(evicted_seq, excluded.evicted_seq);
END;

-- Groups that nothing is known of but their name: they exist by being named again.
CREATE INDEX groups_empty ON groups (updated_at)
    WHERE pending + running + completed + failed + timeout + cancelled = 0
      AND version = 0 AND context IS NULL;
