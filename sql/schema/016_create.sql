-- What creating a task costs: its event is written directly, and what it is counted in is written once.

DROP TRIGGER tasks_start;
DROP TRIGGER tasks_created;
DROP TRIGGER tasks_count_created;
DROP TRIGGER tasks_created_due;
DROP TRIGGER tasks_created_delayed;
DROP TRIGGER events_weighed;

-- A task that is created for later may say so itself (delayed = 1), which saves its indexes a change.
CREATE TRIGGER tasks_start BEFORE INSERT ON tasks
WHEN new.status <> 'pending' OR (new.delayed = 1 AND coalesce(new.run_at <= new.updated_at, 1))
BEGIN
    SELECT raise(ABORT, 'a task starts as pending, and as delayed only if it is created for later');
END;

-- The first event of a task: its number and the columns of its envelope are known, so that task_says, which looks
-- them up, is not needed.
CREATE TRIGGER tasks_created AFTER INSERT ON tasks BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload) VALUES (
        new.n, 1, new.owner, new.group_id, new.id, new.request_id, 'task.created', new.created_at,
        '{"status":"pending","type":' || json_quote(new.type) || '}');
    INSERT INTO task_counts VALUES (new.type, 'pending', 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
    INSERT INTO groups (owner, name, created_at, updated_at)
        SELECT new.owner, new.group_id, new.created_at, new.created_at WHERE new.group_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    UPDATE groups SET pending = pending + 1, updated_at = new.created_at
     WHERE owner = new.owner AND name = new.group_id;
END;

CREATE TRIGGER tasks_created_due AFTER INSERT ON tasks
WHEN new.run_at IS NULL OR new.run_at <= new.updated_at
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + 1;
    INSERT INTO queue_owners
        VALUES (new.owner, 1, 1, 0, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + 1,
            turn = iif(pending = 0, excluded.turn, turn);
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_created_delayed AFTER INSERT ON tasks
WHEN new.run_at > new.updated_at
BEGIN
    UPDATE tasks SET delayed = 1 WHERE n = new.n AND delayed = 0;
    INSERT INTO queue_owners
        VALUES (new.owner, 0, 0, 1, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET delayed = delayed + 1;
END;

CREATE TRIGGER events_weighed AFTER INSERT ON events BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, 200 + length(CAST(new.payload AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

-- tasks.event_bytes bounds what jobs say; the first event, task.created, is nothing of theirs.
CREATE TRIGGER events_weighed_of_task AFTER INSERT ON events
WHEN new.task_seq > 1
BEGIN
    UPDATE tasks SET event_bytes = event_bytes + 200 + length(CAST(new.payload AS BLOB))
     WHERE n = new.task;
END;

UPDATE tasks
   SET event_bytes = event_bytes - 200 - length(CAST(
           (SELECT e.payload FROM events e WHERE e.task = tasks.n ORDER BY e.seq LIMIT 1) AS BLOB))
 WHERE event_bytes > 0 AND (SELECT e.task_seq FROM events e WHERE e.task = tasks.n ORDER BY e.seq LIMIT 1) = 1;
