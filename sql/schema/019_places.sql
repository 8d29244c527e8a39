-- A place in the queue is added up, not counted task by task; and a task that takes no turns, or is due at once, does
-- not pay for those that are not so.

-- Due tasks of an owner and priority, by the 128 numbers (tasks.n >> 7) that theirs are among. One that counts nothing
-- has no row.
CREATE TABLE queue_parts (
    owner    TEXT NOT NULL,
    priority INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    pending  INTEGER NOT NULL,
    PRIMARY KEY (owner, priority, part)
) STRICT, WITHOUT ROWID;

INSERT INTO queue_parts
SELECT owner, priority, n >> 7, count(*) FROM tasks
 WHERE status = 'pending' AND delayed = 0 GROUP BY owner, priority, n >> 7;

DROP INDEX tasks_waiting;

DROP TRIGGER tasks_created_due;
DROP TRIGGER tasks_created_delayed;
DROP TRIGGER tasks_leave_queue;
DROP TRIGGER tasks_enter_queue;
DROP TRIGGER tasks_become_due;
DROP TRIGGER turns_taken;
DROP VIEW task_rows;

-- ---- who enters and leaves the queue: 007 and 016, with the parts ----

CREATE TRIGGER tasks_created_due AFTER INSERT ON tasks
WHEN new.run_at IS NULL OR new.run_at <= new.updated_at
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

CREATE TRIGGER tasks_leave_queue AFTER UPDATE OF status ON tasks
WHEN old.status = 'pending' AND new.status <> 'pending' AND old.delayed = 0
BEGIN
    UPDATE queues SET pending = pending - 1, ready = ready - (old.blocked = 0)
     WHERE owner = new.owner AND priority = new.priority AND type = new.type;
    DELETE FROM queues
     WHERE owner = new.owner AND priority = new.priority AND type = new.type AND pending = 0;
    UPDATE queue_parts SET pending = pending - 1
     WHERE owner = new.owner AND priority = new.priority AND part = new.n >> 7;
    DELETE FROM queue_parts
     WHERE owner = new.owner AND priority = new.priority AND part = new.n >> 7 AND pending = 0;
    UPDATE queue_owners
       SET pending = pending - 1, ready = ready - (old.blocked = 0),
           turn = iif(new.status = 'running', coalesce((SELECT max(seq) FROM events), 0) + 1, turn) -- of the event to come
     WHERE owner = new.owner;
    DELETE FROM queue_owners WHERE owner = new.owner AND pending = 0 AND delayed = 0;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_enter_queue AFTER UPDATE OF status ON tasks
WHEN old.status <> 'pending' AND new.status = 'pending'
     AND (new.run_at IS NULL OR new.run_at <= new.updated_at)
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, new.blocked = 0)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready;
    INSERT INTO queue_parts VALUES (new.owner, new.priority, new.n >> 7, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1;
    INSERT INTO queue_owners
        VALUES (new.owner, 1, new.blocked = 0, 0, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready,
            turn = iif(pending = 0, excluded.turn, turn);
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_become_due AFTER UPDATE OF delayed ON tasks
WHEN old.delayed = 1 AND new.delayed = 0 AND old.status = 'pending' AND new.status = 'pending'
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, new.blocked = 0)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready;
    INSERT INTO queue_parts VALUES (new.owner, new.priority, new.n >> 7, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1;
    UPDATE queue_owners
       SET pending = pending + 1, ready = ready + (new.blocked = 0), delayed = delayed - 1,
           turn = iif(pending = 0, coalesce((SELECT max(seq) FROM events), 0), turn)
     WHERE owner = new.owner;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

-- ---- what most tasks do not need ----

-- A trigger reserves memory for all that it might do before it looks whether it is to do anything. Those that are
-- asked by each task and seldom have to do something therefore hand it on to one that is only called then.
CREATE VIEW delays AS SELECT 0 AS n, '' AS owner;

CREATE TRIGGER delays_begin INSTEAD OF INSERT ON delays BEGIN
    UPDATE tasks SET delayed = 1 WHERE n = new.n AND delayed = 0;
    INSERT INTO queue_owners
        VALUES (new.owner, 0, 0, 1, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET delayed = delayed + 1;
END;

CREATE TRIGGER tasks_created_delayed AFTER INSERT ON tasks
WHEN new.run_at > new.updated_at
BEGIN
    INSERT INTO delays VALUES (new.n, new.owner);
END;

CREATE VIEW turns_of_group AS SELECT '' AS owner, '' AS group_id;

CREATE TRIGGER turns_taken INSTEAD OF INSERT ON turns
WHEN new.group_id IS NOT NULL
BEGIN
    INSERT INTO turns_of_group VALUES (new.owner, new.group_id);
END;

-- Who is blocked and who is not, as in 007.
CREATE TRIGGER turns_of_group_taken INSTEAD OF INSERT ON turns_of_group BEGIN
    UPDATE tasks SET blocked = 1
     WHERE owner = new.owner AND group_id = new.group_id
       AND status = 'pending' AND serialize = 1 AND delayed = 0 AND blocked = 0
       AND (EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                       AND b.status = 'running' AND b.serialize = 1)
         OR n > (SELECT min(b.n) FROM tasks b INDEXED BY tasks_in_turn
                  WHERE b.owner = new.owner AND b.group_id = new.group_id
                    AND b.status = 'pending' AND b.serialize = 1
                    AND (b.delayed = 0 OR b.started_at IS NOT NULL)));
    UPDATE tasks SET blocked = 0
     WHERE blocked = 1
       AND n = (SELECT min(b.n) FROM tasks b INDEXED BY tasks_in_turn
                  WHERE b.owner = new.owner AND b.group_id = new.group_id
                   AND b.status = 'pending' AND b.serialize = 1
                   AND (b.delayed = 0 OR b.started_at IS NOT NULL))
       AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                          AND b.status = 'running' AND b.serialize = 1);
END;

-- ---- places ----

-- The task as documents show it. The order of the columns is that of sql/query/task_by_id.sql. Its place is what waits
-- of its owner with the same or a higher priority, less those behind it: of later parts, and of its own part.
CREATE VIEW task_rows AS
SELECT t.n, t.id, t.owner, t.type, t.group_id, t.request_id, t.status, t.priority, t.progress,
       t.phase, t.message, t.attempt, t.max_attempts, t.timeout_ms, t.run_at, t.created_at,
       t.started_at, t.completed_at, t.updated_at, t.cancel_requested, t.error_code,
       t.error_message, t.error_retryable, t.exit_status, t.signal,
       CASE WHEN t.status = 'pending' AND t.delayed = 0 THEN
           (SELECT sum(q.pending) FROM queues q WHERE q.owner = t.owner AND q.priority >= t.priority)
         - coalesce((SELECT sum(p.pending) FROM queue_parts p
                      WHERE p.owner = t.owner AND p.priority = t.priority AND p.part > t.n >> 7), 0)
         - (SELECT count(*) FROM tasks b
             WHERE b.owner = t.owner AND b.status = 'pending' AND b.n > t.n AND b.n <= t.n | 127
               AND b.priority = t.priority AND b.delayed = 0)
       END AS queue_position,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS event_count,
       (SELECT e.seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS cursor,
       r.inline AS result, r.content_type AS result_type, length(r.body) AS result_bytes,
       t.attempt - t.earlier - t.lost AS tries
  FROM tasks t LEFT JOIN results r ON r.task = t.n;
