-- What removing a task costs: what went with it is counted once, not event by event, and by one trigger.

DROP TRIGGER events_count_deleted;
DROP TRIGGER events_weighed_deleted;
DROP TRIGGER events_deleted_of_no_task;
DROP TRIGGER tasks_deleted;
DROP TRIGGER tasks_weighed_deleted;
DROP TRIGGER tasks_count_deleted;
DROP TRIGGER tasks_deleted_files;
DROP TRIGGER tasks_deleted_keys;
DROP TRIGGER tasks_deleted_tokens;
DROP TRIGGER uploads_given_up;
DROP TRIGGER results_weighed_deleted;
DROP TRIGGER files_weighed_deleted;

-- Events of no task, and those that somebody takes out of the log of a task that stays. Others go by log_portions.
CREATE TRIGGER events_deleted AFTER DELETE ON events
WHEN old.task IS NULL OR EXISTS (SELECT 1 FROM tasks WHERE n = old.task)
BEGIN
    UPDATE owners
       SET bytes = bytes - 200 - length(CAST(old.payload AS BLOB)),
           evicted_seq = iif(old.task IS NULL, max(evicted_seq, old.seq), evicted_seq)
     WHERE name = old.owner;
    UPDATE figures SET value = value + 1
     WHERE name = 'log_deleted' AND labels = '' AND le = 0 AND process = 0;
END;

-- Removes the newest events of a task that is gone, at most `size` of them.
CREATE VIEW log_portions AS SELECT 0 AS task, 0 AS size;

CREATE TRIGGER log_portions_removed INSTEAD OF INSERT ON log_portions BEGIN
    UPDATE owners
       SET bytes = bytes - (SELECT sum(200 + length(CAST(payload AS BLOB))) FROM
               (SELECT payload FROM events WHERE task = new.task ORDER BY seq DESC LIMIT new.size) portion)
     WHERE name = (SELECT owner FROM events WHERE task = new.task LIMIT 1);
    UPDATE figures
       SET value = value + (SELECT count(*) FROM (SELECT 1 FROM events WHERE task = new.task LIMIT new.size) portion)
     WHERE name = 'log_deleted' AND labels = '' AND le = 0 AND process = 0;
    DELETE FROM events WHERE seq IN
        (SELECT seq FROM events WHERE task = new.task ORDER BY seq DESC LIMIT new.size);
END;

-- Notes a task that is gone and whose log is not.
CREATE VIEW log_ends AS SELECT 0 AS task;

CREATE TRIGGER log_ends_later INSTEAD OF INSERT ON log_ends
WHEN EXISTS (SELECT 1 FROM events WHERE task = new.task)
BEGIN
    INSERT INTO remains VALUES (new.task);
END;

CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
    UPDATE owners
       SET evicted_seq = max(evicted_seq, coalesce((SELECT max(seq) FROM events WHERE task = old.n), 0)),
           bytes = bytes - coalesce((SELECT length(body) FROM inputs WHERE task = old.n), 0)
                 - coalesce((SELECT length(body) + coalesce(length(CAST(inline AS BLOB)), 0)
                               FROM results WHERE task = old.n), 0)
                 - coalesce((SELECT sum(f.bytes) FROM files f WHERE f.task = old.n), 0)
     WHERE name = old.owner;
    INSERT INTO log_portions VALUES (old.n, 1000);
    INSERT INTO log_ends VALUES (old.n);
    DELETE FROM inputs WHERE task = old.n;
    DELETE FROM results WHERE task = old.n;
    DELETE FROM checkpoints WHERE task = old.n;
    DELETE FROM files WHERE task = old.n;
    DELETE FROM idempotency WHERE task = old.n;
    DELETE FROM credentials WHERE task = old.n;
    -- retention removes the portions by and by
    UPDATE uploads SET task = NULL, bytes = 0, touched_at = 0 WHERE task = old.n;
    UPDATE task_counts SET tasks = tasks - 1 WHERE type = old.type AND status = old.status;
    INSERT INTO events (owner, group_id, task_id, request_id, type, ts, payload)
        VALUES (old.owner, old.group_id, old.id, old.request_id, 'task.deleted', old.updated_at, '{}');
    UPDATE groups
       SET completed = completed - (old.status = 'completed'),
           failed = failed - (old.status = 'failed'),
           timeout = timeout - (old.status = 'timeout'),
           cancelled = cancelled - (old.status = 'cancelled'),
           updated_at = max(updated_at, old.updated_at)
     WHERE owner = old.owner AND name = old.group_id;
END;

-- Those that go with their task are weighed where it goes.
CREATE TRIGGER results_weighed_deleted BEFORE DELETE ON results
WHEN EXISTS (SELECT 1 FROM tasks WHERE n = old.task)
BEGIN
    UPDATE owners
       SET bytes = bytes - coalesce((SELECT length(body) + coalesce(length(CAST(inline AS BLOB)), 0)
                                       FROM results WHERE task = old.task), 0)
     WHERE name = (SELECT owner FROM tasks WHERE n = old.task);
END;

CREATE TRIGGER files_weighed_deleted BEFORE DELETE ON files
WHEN EXISTS (SELECT 1 FROM tasks WHERE n = old.task)
BEGIN
    UPDATE owners SET bytes = bytes - old.bytes
     WHERE name = (SELECT owner FROM tasks WHERE n = old.task);
END;
