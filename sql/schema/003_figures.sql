-- Figures: what the processes of a site count, and what can only be counted cheaply as it happens.
--
-- Processes count in memory and add what is new to `figures` every few seconds; this is the only place
-- where they meet. A reader sums up.

-- Processes that count, living and dead. One lives while it holds its lock: byte `id` of the file
-- DB.live, which the system releases whatever the process dies of.
CREATE TABLE processes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    program    TEXT NOT NULL,     -- leat-api, leat-events, leatd
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE figures (
    name    TEXT NOT NULL,
    labels  TEXT NOT NULL,        -- as metrics show them: route="/tasks",status="2xx"; or empty
    le      INTEGER NOT NULL,     -- of a histogram: the upper bound of the bucket in microseconds,
                                  -- -1 for the row of the sum; else 0
    process INTEGER NOT NULL,     -- 0: a sum, of all that ever lived; of a gauge processes.id
    value   INTEGER NOT NULL,
    PRIMARY KEY (name, labels, le, process)
) STRICT, WITHOUT ROWID;

-- How many tasks there are, without reading them all.
CREATE TABLE task_counts (
    type   TEXT NOT NULL,
    status TEXT NOT NULL,
    tasks  INTEGER NOT NULL,
    PRIMARY KEY (type, status)
) STRICT, WITHOUT ROWID;

INSERT INTO task_counts SELECT type, status, count(*) FROM tasks GROUP BY type, status;

CREATE TRIGGER tasks_count_created AFTER INSERT ON tasks BEGIN
    INSERT INTO task_counts VALUES (new.type, new.status, 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tasks_count_changed AFTER UPDATE OF status ON tasks
WHEN old.status <> new.status
BEGIN
    UPDATE task_counts SET tasks = tasks - 1 WHERE type = old.type AND status = old.status;
    INSERT INTO task_counts VALUES (new.type, new.status, 1)
        ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER tasks_count_deleted AFTER DELETE ON tasks BEGIN
    UPDATE task_counts SET tasks = tasks - 1 WHERE type = old.type AND status = old.status;
END;

-- How many events were ever deleted: what was written less these is what the log holds.
INSERT INTO figures
SELECT 'log_deleted', '', 0, 0,
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)
     - (SELECT count(*) FROM events);

CREATE TRIGGER events_count_deleted AFTER DELETE ON events BEGIN
    UPDATE figures SET value = value + 1
     WHERE name = 'log_deleted' AND labels = '' AND le = 0 AND process = 0;
END;

-- How long it was due when it was claimed last; NULL: it never was.
ALTER TABLE tasks ADD COLUMN waited_ms INTEGER;
