-- Many tasks by one request: what follows from each is done once for all of them, which takes a quarter of the time.

ALTER TABLE tasks ADD COLUMN batch INTEGER NOT NULL DEFAULT 0; -- 1: made with others, whom `batches` is told of

-- As in 016, 019 and 009, of a task that is made by itself. The first event of a task is weighed with the task.
DROP TRIGGER tasks_created;
DROP TRIGGER tasks_created_due;
DROP TRIGGER tasks_created_delayed;
DROP TRIGGER events_weighed;
DROP TRIGGER inputs_weighed;

CREATE TRIGGER tasks_created AFTER INSERT ON tasks
WHEN new.batch = 0
BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload) VALUES (
        new.n, 1, new.owner, new.group_id, new.id, new.request_id, 'task.created', new.created_at,
        '{"status":"pending","type":' || json_quote(new.type) || '}');
    INSERT INTO owners (name, bytes)
        VALUES (new.owner, 200 + length(CAST('{"status":"pending","type":' || json_quote(new.type) || '}' AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
    INSERT INTO task_counts VALUES (new.type, 'pending', 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
    INSERT INTO groups (owner, name, created_at, updated_at)
        SELECT new.owner, new.group_id, new.created_at, new.created_at WHERE new.group_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    UPDATE groups SET pending = pending + 1, updated_at = new.created_at
     WHERE owner = new.owner AND name = new.group_id;
END;

CREATE TRIGGER events_weighed AFTER INSERT ON events
WHEN new.task_seq IS NOT 1
BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, 200 + length(CAST(new.payload AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER tasks_created_due AFTER INSERT ON tasks
WHEN new.batch = 0 AND (new.run_at IS NULL OR new.run_at <= new.updated_at)
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + 1;
    INSERT INTO queue_parts VALUES (new.owner, new.priority, new.n >> 7, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1;
    INSERT INTO queue_owners
        VALUES (new.owner, 1, 1, 0, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + 1,
            turn = iif(pending = 0, excluded.turn, turn);
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_created_delayed AFTER INSERT ON tasks
WHEN new.batch = 0 AND new.run_at > new.updated_at
BEGIN
    INSERT INTO delays VALUES (new.n, new.owner);
END;

CREATE TRIGGER inputs_weighed AFTER INSERT ON inputs
WHEN (SELECT batch FROM tasks WHERE n = new.task) IS NOT 1
BEGIN
    UPDATE owners SET bytes = bytes + length(new.body)
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

-- The tasks from `first` to `last`, and their inputs, were just made with batch = 1; delayed is already right.
CREATE VIEW batches AS SELECT 0 AS first, 0 AS last;

CREATE TRIGGER batches_created INSTEAD OF INSERT ON batches BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload)
        SELECT n, 1, owner, group_id, id, request_id, 'task.created', created_at,
               '{"status":"pending","type":' || json_quote(type) || '}'
          FROM tasks NOT INDEXED WHERE n BETWEEN new.first AND new.last ORDER BY n;
    INSERT INTO owners (name, bytes)
        SELECT owner, sum(200 + length(CAST(payload AS BLOB))) FROM events NOT INDEXED
         WHERE seq > (SELECT max(seq) FROM events) - (1 + new.last - new.first) GROUP BY owner
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
    INSERT INTO owners (name, bytes)
        SELECT t.owner, sum(length(i.body)) FROM inputs i JOIN tasks t NOT INDEXED ON t.n = i.task
         WHERE i.task BETWEEN new.first AND new.last GROUP BY t.owner
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
    INSERT INTO task_counts
        SELECT type, 'pending', count(*) FROM tasks NOT INDEXED WHERE n BETWEEN new.first AND new.last GROUP BY type
        ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks;
    INSERT INTO groups (owner, name, created_at, updated_at)
        SELECT owner, group_id, min(created_at), min(created_at) FROM tasks NOT INDEXED
         WHERE n BETWEEN new.first AND new.last AND group_id IS NOT NULL GROUP BY owner, group_id
        ON CONFLICT DO NOTHING;
    -- not above: a group that begins to wait says so
    UPDATE groups SET pending = pending + made.tasks, updated_at = made.at
      FROM (SELECT owner, group_id, count(*) AS tasks, max(created_at) AS at FROM tasks NOT INDEXED
             WHERE n BETWEEN new.first AND new.last AND group_id IS NOT NULL GROUP BY owner, group_id) made
     WHERE groups.owner = made.owner AND groups.name = made.group_id;
    INSERT INTO queues
        SELECT owner, priority, type, count(*), count(*) FROM tasks NOT INDEXED
         WHERE n BETWEEN new.first AND new.last AND delayed = 0 GROUP BY owner, priority, type
        ON CONFLICT DO UPDATE SET pending = pending + excluded.pending, ready = ready + excluded.ready;
    INSERT INTO queue_parts
        SELECT owner, priority, n >> 7, count(*) FROM tasks NOT INDEXED
         WHERE n BETWEEN new.first AND new.last AND delayed = 0 GROUP BY owner, priority, n >> 7
        ON CONFLICT DO UPDATE SET pending = pending + excluded.pending;
    INSERT INTO queue_owners
        SELECT owner, sum(delayed = 0), sum(delayed = 0), sum(delayed = 1), (SELECT max(seq) FROM events) FROM tasks NOT INDEXED
         WHERE n BETWEEN new.first AND new.last GROUP BY owner
        ON CONFLICT DO UPDATE SET pending = pending + excluded.pending, ready = ready + excluded.ready,
            delayed = delayed + excluded.delayed, turn = iif(pending = 0 AND excluded.pending > 0, excluded.turn, turn);
    INSERT INTO turns_of_group
        SELECT DISTINCT owner, group_id FROM tasks NOT INDEXED
         WHERE n BETWEEN new.first AND new.last AND delayed = 0 AND serialize = 1 AND group_id IS NOT NULL;
END;
