-- What a change of status and a line of a job cost: each event is written where its envelope is known, what a task says
-- is weighed once for all that is written together, and one trigger sees a change of status. What that has to do seldom
-- it hands on (see "what most tasks do not need" in 019), as VALUES: INSERT ... SELECT into a view makes a table first.

DROP TRIGGER task_says_it;
DROP TRIGGER events_weighed;
DROP TRIGGER events_weighed_of_task;
DROP TRIGGER tasks_status_changed;
DROP TRIGGER tasks_count_changed;
DROP TRIGGER tasks_leave_queue;
DROP TRIGGER tasks_enter_queue;
DROP TRIGGER tasks_leave_delayed;
DROP TRIGGER tasks_enter_delayed;
DROP TRIGGER tasks_completed;
DROP TRIGGER tasks_end_tokens;
DROP TRIGGER tasks_restarted;

-- ---- what a task says ----

-- An event weighs its payload and 200 bytes: on its task (event_bytes), and on its owner.

-- Those of no task. The first of a task is weighed with the task (021), the others by who writes them: all are here.
CREATE TRIGGER events_weighed AFTER INSERT ON events
WHEN new.task_seq IS NULL
BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, 200 + length(CAST(new.payload AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER task_says_it INSTEAD OF INSERT ON task_says BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload) VALUES (
        new.task,
        coalesce((SELECT e.task_seq FROM events e WHERE e.task = new.task ORDER BY e.seq DESC LIMIT 1), 0) + 1,
        (SELECT owner FROM tasks WHERE n = new.task), (SELECT group_id FROM tasks WHERE n = new.task),
        (SELECT id FROM tasks WHERE n = new.task), (SELECT request_id FROM tasks WHERE n = new.task),
        new.type, new.ts, new.payload);
    UPDATE tasks SET event_bytes = event_bytes + 200 + length(CAST(new.payload AS BLOB)) WHERE n = new.task;
    UPDATE owners SET bytes = bytes + 200 + length(CAST(new.payload AS BLOB))
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

-- Events of one type and time, whose envelope is known: `payloads` is a JSON array of their texts, the first of which
-- gets the number `seq`; `bytes` is what they weigh.
CREATE VIEW task_lines AS
SELECT 0 AS task, 0 AS seq, '' AS owner, '' AS group_id, '' AS id, '' AS request_id, '' AS type, 0 AS ts,
       '' AS payloads, 0 AS bytes;

CREATE TRIGGER task_lines_said INSTEAD OF INSERT ON task_lines BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload)
    SELECT new.task, new.seq + j.key, new.owner, new.group_id, new.id, new.request_id, new.type, new.ts, j.value
      FROM json_each(new.payloads) j;
    UPDATE tasks SET event_bytes = event_bytes + new.bytes WHERE n = new.task;
    UPDATE owners SET bytes = bytes + new.bytes WHERE name = new.owner;
END;

-- ---- who enters and leaves the queue: 007 and 019 ----

CREATE VIEW queue_leaves AS
SELECT 0 AS n, '' AS owner, 0 AS priority, '' AS type, '' AS was, 0 AS was_delayed, 0 AS ready, 0 AS turn,
       '' AS takes_turns_in;

-- `turn` is that of the event, NULL where nobody was served.
CREATE TRIGGER queue_leaves_it INSTEAD OF INSERT ON queue_leaves
WHEN new.was = 'pending' AND new.was_delayed = 0
BEGIN
    UPDATE queues SET pending = pending - 1, ready = ready - new.ready
     WHERE owner = new.owner AND priority = new.priority AND type = new.type;
    DELETE FROM queues
     WHERE owner = new.owner AND priority = new.priority AND type = new.type AND pending = 0;
    UPDATE queue_parts SET pending = pending - 1
     WHERE owner = new.owner AND priority = new.priority AND part = new.n >> 7;
    DELETE FROM queue_parts
     WHERE owner = new.owner AND priority = new.priority AND part = new.n >> 7 AND pending = 0;
    UPDATE queue_owners
       SET pending = pending - 1, ready = ready - new.ready, turn = coalesce(new.turn, turn)
     WHERE owner = new.owner;
    DELETE FROM queue_owners WHERE owner = new.owner AND pending = 0 AND delayed = 0;
    INSERT INTO turns VALUES (new.owner, new.takes_turns_in);
END;

CREATE VIEW queue_enters AS
SELECT 0 AS n, '' AS owner, 0 AS priority, '' AS type, 0 AS ready, '' AS takes_turns_in;

CREATE TRIGGER queue_enters_it INSTEAD OF INSERT ON queue_enters BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, new.ready)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready;
    INSERT INTO queue_parts VALUES (new.owner, new.priority, new.n >> 7, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1;
    INSERT INTO queue_owners
        VALUES (new.owner, 1, new.ready, 0, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready,
            turn = iif(pending = 0, excluded.turn, turn);
    INSERT INTO turns VALUES (new.owner, new.takes_turns_in);
END;

CREATE TRIGGER tasks_enter_queue AFTER UPDATE OF status ON tasks
WHEN old.status <> 'pending' AND new.status = 'pending'
     AND (new.run_at IS NULL OR new.run_at <= new.updated_at)
BEGIN
    INSERT INTO queue_enters VALUES (new.n, new.owner, new.priority, new.type, new.blocked = 0,
                                     iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE VIEW delay_ends AS SELECT 0 AS n, '' AS owner, '' AS takes_turns_in;

CREATE TRIGGER delay_ends_it INSTEAD OF INSERT ON delay_ends BEGIN
    UPDATE tasks SET delayed = 0 WHERE n = new.n;
    UPDATE queue_owners SET delayed = delayed - 1 WHERE owner = new.owner;
    DELETE FROM queue_owners WHERE owner = new.owner AND pending = 0 AND delayed = 0;
    INSERT INTO turns VALUES (new.owner, new.takes_turns_in);
END;

CREATE TRIGGER tasks_leave_delayed AFTER UPDATE OF status ON tasks
WHEN old.status = 'pending' AND new.status <> 'pending' AND old.delayed = 1
BEGIN
    INSERT INTO delay_ends VALUES (new.n, new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_enter_delayed AFTER UPDATE OF status ON tasks
WHEN old.status <> 'pending' AND new.status = 'pending' AND new.run_at > new.updated_at
BEGIN
    INSERT INTO delays VALUES (new.n, new.owner);
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

-- ---- what else follows a change of status ----

CREATE VIEW group_moves AS SELECT '' AS owner, '' AS name, '' AS was, '' AS is_now, 0 AS at;

CREATE TRIGGER group_moves_it INSTEAD OF INSERT ON group_moves
WHEN new.name IS NOT NULL
BEGIN
    UPDATE groups
       SET pending = pending - (new.was = 'pending') + (new.is_now = 'pending'),
           running = running - (new.was = 'running') + (new.is_now = 'running'),
           completed = completed - (new.was = 'completed') + (new.is_now = 'completed'),
           failed = failed - (new.was = 'failed') + (new.is_now = 'failed'),
           timeout = timeout - (new.was = 'timeout') + (new.is_now = 'timeout'),
           cancelled = cancelled - (new.was = 'cancelled') + (new.is_now = 'cancelled'),
           updated_at = new.at
     WHERE owner = new.owner AND name = new.name;
END;

-- An attempt is over: its token with it, and what it saved for the next one where there will be none.
CREATE VIEW attempt_ends AS SELECT 0 AS task, '' AS was, '' AS is_now, 0 AS at;

CREATE TRIGGER attempt_ends_it INSTEAD OF INSERT ON attempt_ends
WHEN new.was = 'running'
BEGIN
    DELETE FROM checkpoints WHERE task = new.task AND new.is_now = 'completed';
    UPDATE credentials SET revoked_at = new.at WHERE task = new.task AND revoked_at IS NULL;
END;

-- The run of a task that begins anew leaves nothing (see 012).
CREATE VIEW task_forgets AS SELECT 0 AS task;

CREATE TRIGGER task_forgets_it INSTEAD OF INSERT ON task_forgets BEGIN
    DELETE FROM results WHERE task = new.task;
    DELETE FROM files WHERE task = new.task;
    DELETE FROM checkpoints WHERE task = new.task;
END;

CREATE TRIGGER tasks_restarted AFTER UPDATE OF restart ON tasks
WHEN old.restart > 0 AND new.restart = 0 AND new.status = 'pending'
BEGIN
    INSERT INTO task_forgets VALUES (new.n);
END;

-- What an event of a change says of how a task ended; '' where it has not.
CREATE VIEW task_ends AS
SELECT t.n,
       coalesce(',"message":' || CASE WHEN t.message IS NOT NULL THEN json_quote(t.message) END, '')
       || coalesce(',"error":' || (SELECT error FROM task_errors WHERE n = t.n), '')
       || CASE WHEN t.status = 'completed' THEN coalesce(
              (SELECT coalesce(',"result":' || json(r.inline), ',"result_url":' || json_quote(r.url))
                 FROM results r WHERE r.task = t.n AND (r.inline IS NOT NULL OR r.url IS NOT NULL)), '')
          ELSE '' END AS members
  FROM tasks t WHERE t.completed_at IS NOT NULL;

-- The change itself. Members that are absent are NULL on the right of "||", which makes all of it NULL. The group's
-- event comes behind that of its task, and who leaves the queue was served when that was written.
CREATE TRIGGER tasks_status_changed AFTER UPDATE OF status ON tasks
WHEN old.status <> new.status
BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload) VALUES (new.n,
        coalesce((SELECT e.task_seq FROM events e WHERE e.task = new.n ORDER BY e.seq DESC LIMIT 1), 0) + 1,
        new.owner, new.group_id, new.id, new.request_id, 'task.status_changed', new.updated_at,
        '{"from":"' || old.status || '","to":"' || new.status || '","attempt":' || new.attempt
        || coalesce(',"started_at":' || new.started_at, '')
        || coalesce(',"completed_at":' || new.completed_at, '')
        || CASE WHEN new.status = 'pending' THEN
               coalesce(',"error":' || (SELECT error FROM task_errors WHERE n = new.n), '')
               || coalesce(',"run_at":' || new.run_at, '')
           ELSE coalesce((SELECT members FROM task_ends WHERE n = new.n), '') END
        || '}');
    UPDATE tasks
       SET event_bytes = event_bytes + 200 + (SELECT length(CAST(e.payload AS BLOB)) FROM events e
                                               WHERE e.task = new.n ORDER BY e.seq DESC LIMIT 1)
     WHERE n = new.n;
    UPDATE owners
       SET bytes = bytes + 200 + (SELECT length(CAST(e.payload AS BLOB)) FROM events e
                                   WHERE e.task = new.n ORDER BY e.seq DESC LIMIT 1)
     WHERE name = new.owner;
    UPDATE task_counts SET tasks = tasks - 1 WHERE type = old.type AND status = old.status;
    INSERT INTO task_counts VALUES (new.type, new.status, 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
    INSERT INTO queue_leaves VALUES (new.n, new.owner, new.priority, new.type, old.status, old.delayed,
        old.blocked = 0, CASE WHEN new.status = 'running' THEN (SELECT max(seq) FROM events) END,
        iif(new.serialize = 1, new.group_id, NULL));
    INSERT INTO attempt_ends VALUES (new.n, old.status, new.status, new.updated_at);
    INSERT INTO group_moves VALUES (new.owner, new.group_id, old.status, new.status, new.updated_at);
END;
