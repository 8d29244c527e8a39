-- Tasks and their log.
--
-- Programs insert and update `tasks`. Everything else that has to follow is written here, by
-- triggers, in the same transaction: the event rows, the counts of groups and queues, the mark of
-- what was deleted. So a status cannot change without its event, whoever changes it, and a person
-- with the sqlite3 shell cannot forget one either.
--
-- Times are milliseconds since the Unix epoch and always come from the row (updated_at), never from
-- a clock of the database's.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,   -- epoch: first half of every cursor; boot_id: the boot it belongs to
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    n                INTEGER PRIMARY KEY AUTOINCREMENT,  -- commit order; lists, age, serialize
    id               TEXT NOT NULL UNIQUE,               -- UUIDv7, what clients see
    owner            TEXT NOT NULL,
    type             TEXT NOT NULL,                      -- file name in the jobs folder
    group_id         TEXT,
    request_id       TEXT NOT NULL,                      -- of the request that created it
    status           TEXT NOT NULL DEFAULT 'pending' CHECK ( -- no IN: that is a temporary table
                     status = 'pending' OR status = 'running' OR status = 'completed' OR
                     status = 'failed' OR status = 'timeout' OR status = 'cancelled'),
    priority         INTEGER NOT NULL DEFAULT 0,         -- higher first
    progress         NUMERIC NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    phase            TEXT,
    message          TEXT,
    remaining        REAL,                               -- estimate in seconds at updated_at
    attempt          INTEGER NOT NULL DEFAULT 0,         -- claims so far; fences a runner's writes
    max_attempts     INTEGER NOT NULL DEFAULT 1,
    lost             INTEGER NOT NULL DEFAULT 0,         -- attempts that ended with their runner
    earlier          INTEGER NOT NULL DEFAULT 0,         -- attempts before the last explicit retry
    timeout_ms       INTEGER,                            -- NULL: the type's
    run_at           INTEGER,                            -- NULL: at once
    serialize        INTEGER NOT NULL DEFAULT 0,         -- 1: one such task of its group at a time
    blocked          INTEGER NOT NULL DEFAULT 0,         -- 1: pending, and waits for another one of its group
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,                            -- of the newest attempt
    completed_at     INTEGER,
    updated_at       INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    error_code       TEXT,
    error_message    TEXT,
    error_retryable  INTEGER,
    runner           INTEGER,                            -- runners.id while running
    lease_until      INTEGER,
    pid              INTEGER,                            -- leader of the child's process group
    pid_start        INTEGER                             -- its start time in clock ticks since boot
);

CREATE INDEX tasks_by_owner ON tasks (owner);            -- lists: n follows implicitly
CREATE INDEX tasks_by_status ON tasks (owner, status);
CREATE INDEX tasks_by_group ON tasks (owner, group_id) WHERE group_id IS NOT NULL;
CREATE INDEX tasks_waiting ON tasks (owner, priority) WHERE status = 'pending'; -- queue_position
CREATE INDEX tasks_ready ON tasks (owner, priority, type)
    WHERE status = 'pending' AND run_at IS NULL AND blocked = 0;
CREATE INDEX tasks_delayed ON tasks (owner, priority, type, run_at)
    WHERE status = 'pending' AND run_at IS NOT NULL AND blocked = 0;
CREATE INDEX tasks_in_turn ON tasks (owner, group_id) WHERE status = 'pending' AND serialize = 1;
CREATE INDEX tasks_next ON tasks (owner, group_id)
    WHERE status = 'pending' AND serialize = 1 AND blocked = 0;
CREATE INDEX tasks_running ON tasks (runner) WHERE status = 'running';
CREATE INDEX tasks_running_group ON tasks (owner, group_id)
    WHERE status = 'running' AND group_id IS NOT NULL;

-- What a task was given and what it gave. Apart from `tasks`, whose rows are rewritten often.
CREATE TABLE inputs (
    task         INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL
) STRICT;

CREATE TABLE results (
    task         INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    inline       TEXT,          -- the JSON value that documents show; NULL: too large or not text
    url          TEXT NOT NULL, -- where to fetch it
    body         BLOB NOT NULL
) STRICT;

-- What an attempt saved for the next one, until one completes.
CREATE TABLE checkpoints (
    task INTEGER PRIMARY KEY,
    json TEXT NOT NULL
) STRICT;

-- The log: one row an event, in one order for the whole database. `seq` is never reused, so a
-- cursor means one position for ever. The columns of the envelope are copied into the row: replays
-- and live reads are one index walk, without joins, and outlive the task (task.deleted).
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    task       INTEGER,         -- tasks.n; NULL: the event is the group's or the owner's
    task_seq   INTEGER,         -- 1, 2, 3, ... within the task, without a gap
    owner      TEXT NOT NULL,
    group_id   TEXT,
    task_id    TEXT,
    request_id TEXT,
    type       TEXT NOT NULL,
    ts         INTEGER NOT NULL,
    payload    TEXT NOT NULL    -- one JSON value on one line
) STRICT;

CREATE INDEX events_by_task ON events (task) WHERE task IS NOT NULL;
CREATE INDEX events_by_group ON events (owner, group_id) WHERE group_id IS NOT NULL;
CREATE INDEX events_by_owner ON events (owner);

-- A group exists by being named. Its status is a function of its counts.
CREATE TABLE groups (
    owner      TEXT NOT NULL,
    name       TEXT NOT NULL,
    pending    INTEGER NOT NULL DEFAULT 0,
    running    INTEGER NOT NULL DEFAULT 0,
    completed  INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    timeout    INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    status     TEXT GENERATED ALWAYS AS (CASE
                   WHEN running > 0 THEN 'running'
                   WHEN pending > 0 THEN 'pending'
                   WHEN failed + timeout > 0 THEN 'failed'
                   WHEN completed > 0 THEN 'completed'
                   WHEN cancelled > 0 THEN 'cancelled'
                   ELSE 'idle' END) VIRTUAL,
    context    TEXT,                       -- JSON
    version    INTEGER NOT NULL DEFAULT 0, -- of the context; 0: never set
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

-- Who waits: pending tasks by owner, priority and type. `turn` is the position of the log when a task of
-- that owner and priority was last claimed; the lowest goes next, so that owners of one priority take
-- turns.
CREATE TABLE queues (
    owner    TEXT NOT NULL,
    priority INTEGER NOT NULL,
    type     TEXT NOT NULL,
    pending  INTEGER NOT NULL DEFAULT 0,
    turn     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, priority, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX queues_by_turn ON queues (priority DESC, turn) WHERE pending > 0;

-- The highest seq ever deleted of an owner's log: older cursors of groups and owners are evicted.
CREATE TABLE owners (
    name        TEXT PRIMARY KEY,
    evicted_seq INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Tasks that are gone with a log too long to be deleted with them: a deletion takes its end, and what
-- remains goes later in portions, the newest first. Until then whoever still reads it finds the
-- beginning without a gap; nobody new does, because owners.evicted_seq lies above it already.
CREATE TABLE remains (
    task INTEGER PRIMARY KEY    -- what tasks.n was
) STRICT;

-- Runners, living and dead. A runner lives while seen_until is ahead of the clock.
CREATE TABLE runners (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    pid        INTEGER NOT NULL,
    pid_start  INTEGER NOT NULL,
    session    INTEGER NOT NULL DEFAULT 0, -- its session, and that of its jobs
    boot_id    TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_until INTEGER NOT NULL
) STRICT;

-- The task as documents show it. The order of the columns is that of lib/store/tasks.c.
CREATE VIEW task_rows AS
SELECT t.n, t.id, t.owner, t.type, t.group_id, t.request_id, t.status, t.priority, t.progress,
       t.phase, t.message, t.attempt, t.max_attempts, t.timeout_ms, t.run_at, t.created_at,
       t.started_at, t.completed_at, t.updated_at, t.cancel_requested, t.error_code,
       t.error_message, t.error_retryable,
       CASE t.status WHEN 'pending' THEN
           (SELECT sum(q.pending) FROM queues q WHERE q.owner = t.owner AND q.priority >= t.priority)
         - (SELECT count(*) FROM tasks b
             WHERE b.status = 'pending' AND b.owner = t.owner AND b.priority = t.priority
               AND b.n > t.n)
       END AS queue_position,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS event_count,
       (SELECT e.seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS cursor,
       r.inline AS result, r.content_type AS result_type, length(r.body) AS result_bytes,
       t.attempt - t.earlier - t.lost AS tries
  FROM tasks t LEFT JOIN results r ON r.task = t.n;

-- One way to write an event of a task: numbers it and copies the columns of its envelope. VALUES, here
-- and where triggers insert into it: an INSERT ... SELECT would make SQLite open a temporary table for
-- each row, which costs more than all the rest.
CREATE VIEW task_says AS SELECT 0 AS task, '' AS type, 0 AS ts, '' AS payload;

CREATE TRIGGER task_says_it INSTEAD OF INSERT ON task_says BEGIN
    INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload) VALUES (
        new.task,
        coalesce((SELECT e.task_seq FROM events e WHERE e.task = new.task ORDER BY e.seq DESC LIMIT 1), 0) + 1,
        (SELECT owner FROM tasks WHERE n = new.task), (SELECT group_id FROM tasks WHERE n = new.task),
        (SELECT id FROM tasks WHERE n = new.task), (SELECT request_id FROM tasks WHERE n = new.task),
        new.type, new.ts, new.payload);
END;

-- Counts and envelopes are kept by these; a task that changed them would be counted in two places.
CREATE TRIGGER tasks_fixed BEFORE UPDATE OF n, id, owner, type, group_id, priority ON tasks
WHEN (old.n, old.id, old.owner, old.type, old.group_id, old.priority)
     IS NOT (new.n, new.id, new.owner, new.type, new.group_id, new.priority)
BEGIN
    SELECT raise(ABORT, 'n, id, owner, type, group and priority of a task do not change');
END;

CREATE TRIGGER tasks_start BEFORE INSERT ON tasks
WHEN new.status <> 'pending'
BEGIN
    SELECT raise(ABORT, 'a task starts as pending');
END;

-- The status machine: what is not listed is refused.
CREATE TRIGGER tasks_transition BEFORE UPDATE OF status ON tasks
WHEN old.status <> new.status AND NOT CASE old.status
    WHEN 'pending' THEN new.status = 'running' OR new.status = 'cancelled'
    WHEN 'running' THEN 1
    WHEN 'completed' THEN 0
    ELSE new.status = 'pending' END -- failed, timeout, cancelled
BEGIN
    SELECT raise(ABORT, 'this change of status is not allowed');
END;

CREATE TRIGGER tasks_created AFTER INSERT ON tasks BEGIN
    INSERT INTO task_says VALUES (new.n, 'task.created', new.created_at,
        json_object('status', new.status, 'type', new.type));
    INSERT INTO groups (owner, name, created_at, updated_at)
        SELECT new.owner, new.group_id, new.created_at, new.created_at WHERE new.group_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    UPDATE groups SET pending = pending + 1, updated_at = new.created_at
     WHERE owner = new.owner AND name = new.group_id;
END;

CREATE TRIGGER tasks_created_queued AFTER INSERT ON tasks BEGIN
    INSERT INTO queues (owner, priority, type, pending, turn)
        VALUES (new.owner, new.priority, new.type, 1, coalesce(
            (SELECT max(turn) FROM queues WHERE owner = new.owner AND priority = new.priority), 0))
        ON CONFLICT DO UPDATE SET pending = pending + 1;
END;

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
                    'error', CASE WHEN new.error_code IS NOT NULL THEN json_object(
                        'code', new.error_code, 'message', new.error_message,
                        'retryable', json(iif(new.error_retryable, 'true', 'false'))) END,
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

CREATE TRIGGER tasks_queued AFTER UPDATE OF status ON tasks
WHEN new.status = 'pending' AND old.status <> 'pending'
BEGIN
    INSERT INTO queues (owner, priority, type, pending)
        VALUES (new.owner, new.priority, new.type, 1)
        ON CONFLICT DO UPDATE SET pending = pending + 1;
END;

CREATE TRIGGER tasks_dequeued AFTER UPDATE OF status ON tasks
WHEN old.status = 'pending' AND new.status <> 'pending'
BEGIN
    UPDATE queues
       SET pending = pending - (type = new.type),
           turn = iif(new.status = 'running', (SELECT max(seq) FROM events), turn)
     WHERE owner = new.owner AND priority = new.priority;
END;

-- `serialize = group`: of such tasks of one group, the oldest that is not finished alone may be claimed,
-- and none while another runs. A view that is told which group has changed.
CREATE VIEW turns AS SELECT '' AS owner, '' AS group_id;

CREATE TRIGGER turns_taken INSTEAD OF INSERT ON turns BEGIN
    UPDATE tasks SET blocked = 1
     WHERE owner = new.owner AND group_id = new.group_id
       AND status = 'pending' AND serialize = 1 AND blocked = 0
       AND (EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                       AND b.status = 'running' AND b.serialize = 1)
         OR n > (SELECT min(b.n) FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                    AND b.status = 'pending' AND b.serialize = 1));
    UPDATE tasks SET blocked = 0
     WHERE blocked = 1
       AND n = (SELECT min(b.n) FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                   AND b.status = 'pending' AND b.serialize = 1)
       AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = new.owner AND b.group_id = new.group_id
                          AND b.status = 'running' AND b.serialize = 1);
END;

CREATE TRIGGER tasks_turn_begins AFTER INSERT ON tasks
WHEN new.serialize = 1 AND new.group_id IS NOT NULL
BEGIN
    INSERT INTO turns VALUES (new.owner, new.group_id);
END;

CREATE TRIGGER tasks_turn_passes AFTER UPDATE OF status ON tasks
WHEN new.serialize = 1 AND new.group_id IS NOT NULL AND old.status <> new.status
BEGIN
    INSERT INTO turns VALUES (new.owner, new.group_id);
END;

CREATE TRIGGER tasks_completed AFTER UPDATE OF status ON tasks
WHEN new.status = 'completed' AND old.status <> 'completed'
BEGIN
    DELETE FROM checkpoints WHERE task = new.n;
END;

CREATE TRIGGER tasks_progress AFTER UPDATE OF progress, phase, message ON tasks
WHEN old.status = 'running' AND new.status = 'running'
BEGIN
    INSERT INTO task_says VALUES (new.n, 'task.progress', new.updated_at,
        json_patch('{}', json_object(
            'percent', new.progress, 'phase', new.phase, 'message', new.message,
            'elapsed_seconds', round((new.updated_at - new.started_at) / 1000.0, 3),
            'estimated_remaining_seconds', round(new.remaining, 3))));
END;

CREATE TRIGGER tasks_deletable BEFORE DELETE ON tasks
WHEN old.status IN ('pending', 'running')
BEGIN
    SELECT raise(ABORT, 'an unfinished task cannot be deleted');
END;

CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
    INSERT INTO owners (name, evicted_seq)
        SELECT old.owner, max(seq) FROM events WHERE task = old.n HAVING max(seq) IS NOT NULL
        ON CONFLICT DO UPDATE SET evicted_seq = max(evicted_seq, excluded.evicted_seq);
    DELETE FROM events WHERE seq IN
        (SELECT seq FROM events WHERE task = old.n ORDER BY seq DESC LIMIT 1000);
    INSERT INTO remains SELECT old.n WHERE EXISTS (SELECT 1 FROM events WHERE task = old.n);
    DELETE FROM inputs WHERE task = old.n;
    DELETE FROM results WHERE task = old.n;
    DELETE FROM checkpoints WHERE task = old.n;
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

CREATE TRIGGER groups_status_changed
AFTER UPDATE OF pending, running, completed, failed, timeout, cancelled ON groups
WHEN old.status <> new.status
BEGIN
    INSERT INTO events (owner, group_id, type, ts, payload)
    VALUES (new.owner, new.name, 'group.status_changed', new.updated_at,
        json_object('from', old.status, 'to', new.status, 'counts', json_object(
            'pending', new.pending, 'running', new.running, 'completed', new.completed,
            'failed', new.failed, 'timeout', new.timeout, 'cancelled', new.cancelled)));
END;

CREATE TRIGGER groups_context_changed AFTER UPDATE OF version ON groups
WHEN old.version <> new.version
BEGIN
    INSERT INTO events (owner, group_id, type, ts, payload)
    VALUES (new.owner, new.name, 'group.context_changed', new.updated_at,
        json_object('version', new.version));
END;
