-- Whose turn it is, and what tasks and groups say of how they ended.

-- ---- what goes, to be made anew below ----

DROP TRIGGER tasks_created_queued;
DROP TRIGGER tasks_queued;
DROP TRIGGER tasks_dequeued;
DROP TRIGGER tasks_turn_begins;
DROP TRIGGER tasks_turn_passes;
DROP TRIGGER turns_taken;
DROP TRIGGER tasks_status_changed;
DROP TRIGGER groups_status_changed;
DROP VIEW task_rows;
DROP TABLE queues;
DROP INDEX tasks_waiting;
DROP INDEX tasks_ready;
DROP INDEX tasks_delayed;
DROP INDEX tasks_in_turn;
DROP INDEX tasks_next;
DROP INDEX tasks_running_group;

-- ---- how a task ended ----

-- Beside the words of error_message: what the process ended with, where it was that.
ALTER TABLE tasks ADD COLUMN exit_status INTEGER;
ALTER TABLE tasks ADD COLUMN signal INTEGER;

-- The error of a task as events and documents of groups show it; no row without one.
CREATE VIEW task_errors AS
SELECT n, json_patch('{}', json_object(
           'code', error_code, 'message', error_message,
           'retryable', json(iif(error_retryable, 'true', 'false')),
           'exit_status', exit_status, 'signal', signal)) AS error
  FROM tasks WHERE error_code IS NOT NULL;

-- ---- what waits ----

-- 1: pending, its time (run_at) had not come when it began to wait, and nobody has noticed since that it has. While
-- it is 1 the task is not in the queue. Triggers set it; who claims tasks, or says that it lives, sets it to 0 when
-- the time has come, which is why no claim has to look at those whose time has not.
ALTER TABLE tasks ADD COLUMN delayed INTEGER NOT NULL DEFAULT 0;

UPDATE tasks SET delayed = 1 WHERE status = 'pending' AND run_at IS NOT NULL;

-- queue_position
CREATE INDEX tasks_waiting ON tasks (owner, priority) WHERE status = 'pending' AND delayed = 0;
CREATE INDEX tasks_ready ON tasks (owner, priority, type)
    WHERE status = 'pending' AND delayed = 0 AND blocked = 0;
CREATE INDEX tasks_delayed ON tasks (run_at) WHERE status = 'pending' AND delayed = 1;

-- Of one group and status; by type, so that its ends tell whether there is one type or several.
CREATE INDEX tasks_of_group ON tasks (owner, group_id, status, type) WHERE group_id IS NOT NULL;
CREATE INDEX tasks_failed ON tasks (owner, group_id)
    WHERE group_id IS NOT NULL AND (status = 'failed' OR status = 'timeout');

-- The queues: due tasks by owner, priority and type. One that counts nothing has no row.
CREATE TABLE queues (
    owner    TEXT NOT NULL,
    priority INTEGER NOT NULL,
    type     TEXT NOT NULL,
    pending  INTEGER NOT NULL, -- due tasks
    ready    INTEGER NOT NULL, -- of these, who do not wait for another one of their group
    PRIMARY KEY (owner, priority, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX queues_by_type ON queues (type) WHERE ready > 0;

-- Whose turn it is. `turn` is the position of the log when a task of that owner was last claimed, or when the
-- owner came, if that is later: the lowest goes next, so that owners take turns. Who has nothing that waits has no
-- row, and comes back behind those that are there.
CREATE TABLE queue_owners (
    owner   TEXT PRIMARY KEY,
    pending INTEGER NOT NULL, -- sums of its queues
    ready   INTEGER NOT NULL,
    delayed INTEGER NOT NULL, -- tasks that wait for their time
    turn    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_owners_by_turn ON queue_owners (turn) WHERE ready > 0;

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
    UPDATE tasks SET delayed = 1 WHERE n = new.n;
    INSERT INTO queue_owners
        VALUES (new.owner, 0, 0, 1, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET delayed = delayed + 1;
END;

CREATE TRIGGER tasks_leave_queue AFTER UPDATE OF status ON tasks
WHEN old.status = 'pending' AND new.status <> 'pending' AND old.delayed = 0
BEGIN
    UPDATE queues SET pending = pending - 1, ready = ready - (old.blocked = 0)
     WHERE owner = new.owner AND priority = new.priority AND type = new.type;
    DELETE FROM queues
     WHERE owner = new.owner AND priority = new.priority AND type = new.type AND pending = 0;
    UPDATE queue_owners
       SET pending = pending - 1, ready = ready - (old.blocked = 0),
           turn = iif(new.status = 'running', (SELECT max(seq) FROM events), turn)
     WHERE owner = new.owner;
    DELETE FROM queue_owners WHERE owner = new.owner AND pending = 0 AND delayed = 0;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_leave_delayed AFTER UPDATE OF status ON tasks
WHEN old.status = 'pending' AND new.status <> 'pending' AND old.delayed = 1
BEGIN
    UPDATE tasks SET delayed = 0 WHERE n = new.n;
    UPDATE queue_owners SET delayed = delayed - 1 WHERE owner = new.owner;
    DELETE FROM queue_owners WHERE owner = new.owner AND pending = 0 AND delayed = 0;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_enter_queue AFTER UPDATE OF status ON tasks
WHEN old.status <> 'pending' AND new.status = 'pending'
     AND (new.run_at IS NULL OR new.run_at <= new.updated_at)
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, new.blocked = 0)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready;
    INSERT INTO queue_owners
        VALUES (new.owner, 1, new.blocked = 0, 0, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready,
            turn = iif(pending = 0, excluded.turn, turn);
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_enter_delayed AFTER UPDATE OF status ON tasks
WHEN old.status <> 'pending' AND new.status = 'pending' AND new.run_at > new.updated_at
BEGIN
    UPDATE tasks SET delayed = 1 WHERE n = new.n;
    INSERT INTO queue_owners
        VALUES (new.owner, 0, 0, 1, coalesce((SELECT max(seq) FROM events), 0))
        ON CONFLICT DO UPDATE SET delayed = delayed + 1;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_turn_passes AFTER UPDATE OF status ON tasks
WHEN old.status = 'running' AND new.status <> 'running' AND new.status <> 'pending'
     AND new.serialize = 1
BEGIN
    INSERT INTO turns VALUES (new.owner, new.group_id);
END;

-- Its time has come.
CREATE TRIGGER tasks_become_due AFTER UPDATE OF delayed ON tasks
WHEN old.delayed = 1 AND new.delayed = 0 AND old.status = 'pending' AND new.status = 'pending'
BEGIN
    INSERT INTO queues VALUES (new.owner, new.priority, new.type, 1, new.blocked = 0)
        ON CONFLICT DO UPDATE SET pending = pending + 1, ready = ready + excluded.ready;
    UPDATE queue_owners
       SET pending = pending + 1, ready = ready + (new.blocked = 0), delayed = delayed - 1,
           turn = iif(pending = 0, (SELECT max(seq) FROM events), turn)
     WHERE owner = new.owner;
    INSERT INTO turns VALUES (new.owner, iif(new.serialize = 1, new.group_id, NULL));
END;

CREATE TRIGGER tasks_blocked AFTER UPDATE OF blocked ON tasks
WHEN old.blocked <> new.blocked AND new.status = 'pending' AND new.delayed = 0
BEGIN
    UPDATE queues SET ready = ready + old.blocked - new.blocked
     WHERE owner = new.owner AND priority = new.priority AND type = new.type;
    UPDATE queue_owners SET ready = ready + old.blocked - new.blocked WHERE owner = new.owner;
END;

-- `serialize = group`: of such tasks of one group that are in order, the oldest that is not finished alone may
-- be claimed, and none while another runs. In order are those that are due, and those that were begun: one that
-- is tried again keeps its place until its time has come, one that was created for later takes none before.
-- Whoever told `turns` which group has changed says NULL for a task that takes no turns.
CREATE INDEX tasks_in_turn ON tasks (owner, group_id)
    WHERE status = 'pending' AND serialize = 1 AND (delayed = 0 OR started_at IS NOT NULL);
CREATE INDEX tasks_next ON tasks (owner, group_id, status, blocked) -- all named, so that it is chosen
    WHERE status = 'pending' AND serialize = 1 AND delayed = 0 AND blocked = 0;

CREATE TRIGGER turns_taken INSTEAD OF INSERT ON turns
WHEN new.group_id IS NOT NULL
BEGIN
    UPDATE tasks SET blocked = 1
     WHERE owner = new.owner AND group_id = new.group_id
       AND status = 'pending' AND serialize = 1 AND delayed = 0 AND blocked = 0
       AND (EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                       AND b.status = 'running' AND b.serialize = 1)
         OR n > (SELECT min(b.n) FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                    AND b.status = 'pending' AND b.serialize = 1
                    AND (b.delayed = 0 OR b.started_at IS NOT NULL)));
    UPDATE tasks SET blocked = 0
     WHERE blocked = 1
       AND n = (SELECT min(b.n) FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                   AND b.status = 'pending' AND b.serialize = 1
                   AND (b.delayed = 0 OR b.started_at IS NOT NULL))
       AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                          AND b.status = 'running' AND b.serialize = 1);
END;

-- What waits already, counted.
UPDATE tasks SET blocked = 0 WHERE status = 'pending' AND blocked = 1 AND delayed = 1;
UPDATE tasks SET blocked = 0
 WHERE status = 'pending' AND blocked = 1
   AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = tasks.owner AND b.group_id = tasks.group_id
                      AND b.status = 'running' AND b.serialize = 1)
   AND n = (SELECT min(b.n) FROM tasks b WHERE b.owner = tasks.owner AND b.group_id = tasks.group_id
               AND b.status = 'pending' AND b.serialize = 1
               AND (b.delayed = 0 OR b.started_at IS NOT NULL));

INSERT INTO queues
SELECT owner, priority, type, count(*), sum(blocked = 0) FROM tasks
 WHERE status = 'pending' AND delayed = 0 GROUP BY owner, priority, type;

INSERT INTO queue_owners
SELECT owner, sum(delayed = 0), sum(delayed = 0 AND blocked = 0), sum(delayed), min(n) FROM tasks
 WHERE status = 'pending' GROUP BY owner;

-- The task as documents show it. The order of the columns is that of sql/query/task_by_id.sql.
CREATE VIEW task_rows AS
SELECT t.n, t.id, t.owner, t.type, t.group_id, t.request_id, t.status, t.priority, t.progress,
       t.phase, t.message, t.attempt, t.max_attempts, t.timeout_ms, t.run_at, t.created_at,
       t.started_at, t.completed_at, t.updated_at, t.cancel_requested, t.error_code,
       t.error_message, t.error_retryable, t.exit_status, t.signal,
       CASE WHEN t.status = 'pending' AND t.delayed = 0 THEN
           (SELECT sum(q.pending) FROM queues q WHERE q.owner = t.owner AND q.priority >= t.priority)
         - (SELECT count(*) FROM tasks b
             WHERE b.status = 'pending' AND b.delayed = 0 AND b.owner = t.owner
               AND b.priority = t.priority AND b.n > t.n)
       END AS queue_position,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS event_count,
       (SELECT e.seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS cursor,
       r.inline AS result, r.content_type AS result_type, length(r.body) AS result_bytes,
       t.attempt - t.earlier - t.lost AS tries
  FROM tasks t LEFT JOIN results r ON r.task = t.n;

-- ---- what the log says ----

-- Triggers of one event run in no defined order: what has to follow something stands behind it in the
-- same trigger, as a group's event behind that of its task.
--
-- json_patch drops members that are null, which is what "absent" means in these payloads. The
-- result is put in afterwards, because nulls inside it are its own.
CREATE TRIGGER tasks_status_changed AFTER UPDATE OF status ON tasks
WHEN old.status <> new.status
BEGIN
    INSERT INTO task_says VALUES (new.n, 'task.status_changed', new.updated_at, (
        SELECT CASE WHEN r.inline IS NOT NULL THEN json_insert(p.payload, '$.result', json(r.inline))
                    WHEN r.url IS NOT NULL THEN json_insert(p.payload, '$.result_url', r.url)
                    ELSE p.payload END
          FROM (SELECT json_patch('{}', json_object(
                    'from', old.status, 'to', new.status, 'attempt', new.attempt,
                    'started_at', new.started_at, 'completed_at', new.completed_at,
                    'message', CASE WHEN new.completed_at IS NOT NULL THEN new.message END,
                    'error', CASE WHEN new.error_code IS NOT NULL THEN
                        json((SELECT error FROM task_errors WHERE n = new.n)) END,
                    'run_at', CASE new.status WHEN 'pending' THEN new.run_at END)) AS payload) p
          LEFT JOIN results r ON r.task = new.n AND new.status = 'completed'));
    UPDATE groups
       SET pending = pending - (old.status = 'pending') + (new.status = 'pending'),
           running = running - (old.status = 'running') + (new.status = 'running'),
           completed = completed - (old.status = 'completed') + (new.status = 'completed'),
           failed = failed - (old.status = 'failed') + (new.status = 'failed'),
           timeout = timeout - (old.status = 'timeout') + (new.status = 'timeout'),
           cancelled = cancelled - (old.status = 'cancelled') + (new.status = 'cancelled'),
           updated_at = new.updated_at
     WHERE owner = new.owner AND name = new.group_id;
END;

-- Both are recorded when the status of the group changes, and stay until the next change.
ALTER TABLE groups ADD COLUMN type TEXT;  -- of all its tasks in that status; NULL: several, or none is there
ALTER TABLE groups ADD COLUMN error TEXT; -- of its newest task that failed, while the status is failed; JSON

-- What a group records: the type of a task in its status, where none there has one before or behind it in the
-- alphabet; a failed group has tasks that failed and such that timed out, and the newest of them tells. A few looks
-- at indexes, however many tasks there are.
CREATE VIEW group_records AS
SELECT g.owner, g.name,
       CASE g.status WHEN 'failed' THEN
           (SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'failed' AND b.type < t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'failed' AND b.type > t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'timeout' AND b.type < t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'timeout' AND b.type > t.type)
                        THEN t.type END
              FROM tasks t WHERE t.owner = g.owner AND t.group_id = g.name
               AND (t.status = 'failed' OR t.status = 'timeout') ORDER BY t.n DESC LIMIT 1)
       ELSE
           (SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = g.status AND b.type > t.type)
                        THEN t.type END
              FROM tasks t WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = g.status
             ORDER BY t.type LIMIT 1)
       END AS type,
       CASE g.status WHEN 'failed' THEN
           (SELECT e.error FROM task_errors e WHERE e.n =
               (SELECT t.n FROM tasks t WHERE t.owner = g.owner AND t.group_id = g.name
                   AND (t.status = 'failed' OR t.status = 'timeout') ORDER BY t.n DESC LIMIT 1))
       END AS error
  FROM groups g;

UPDATE groups SET (type, error) = (
    SELECT r.type, r.error FROM group_records r WHERE r.owner = groups.owner AND r.name = groups.name);

CREATE TRIGGER groups_status_changed
AFTER UPDATE OF pending, running, completed, failed, timeout, cancelled ON groups
WHEN old.status <> new.status
BEGIN
    UPDATE groups SET (type, error) = (
        SELECT r.type, r.error FROM group_records r WHERE r.owner = new.owner AND r.name = new.name)
     WHERE owner = new.owner AND name = new.name;
    INSERT INTO events (owner, group_id, type, ts, payload)
    VALUES (new.owner, new.name, 'group.status_changed', new.updated_at,
        (SELECT json_patch('{}', json_object('from', old.status, 'to', new.status, 'counts', json_object(
            'pending', new.pending, 'running', new.running, 'completed', new.completed,
            'failed', new.failed, 'timeout', new.timeout, 'cancelled', new.cancelled),
            'type', g.type, 'from_type', old.type, 'error', json(g.error)))
           FROM groups g WHERE g.owner = new.owner AND g.name = new.name));
END;
