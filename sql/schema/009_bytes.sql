-- How much an owner has, and how much the log of a task has: kept as it changes, never summed up.

-- Of inputs, results, events, contexts and files. An event counts its payload and 200 bytes for its other columns
-- and its places in indexes.
ALTER TABLE owners ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE tasks ADD COLUMN event_bytes INTEGER NOT NULL DEFAULT 0; -- of its events, counted alike
ALTER TABLE tasks ADD COLUMN muted INTEGER NOT NULL DEFAULT 0; -- 1: its job's lines are dropped, and its log says so

CREATE TRIGGER events_weighed AFTER INSERT ON events BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, 200 + length(CAST(new.payload AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
    UPDATE tasks SET event_bytes = event_bytes + 200 + length(CAST(new.payload AS BLOB))
     WHERE n = new.task;
END;

CREATE TRIGGER events_weighed_deleted AFTER DELETE ON events BEGIN
    UPDATE owners SET bytes = bytes - 200 - length(CAST(old.payload AS BLOB)) WHERE name = old.owner;
END;

-- The event task.created has made the owner's row. What is taken away is read by length(column), which does
-- not load the value as `old.column` would.
CREATE TRIGGER inputs_weighed AFTER INSERT ON inputs BEGIN
    UPDATE owners SET bytes = bytes + length(new.body)
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

CREATE TRIGGER results_weighed AFTER INSERT ON results BEGIN
    UPDATE owners
       SET bytes = bytes + length(new.body) + coalesce(length(CAST(new.inline AS BLOB)), 0)
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

CREATE TRIGGER results_weighed_changing BEFORE UPDATE ON results BEGIN
    UPDATE owners
       SET bytes = bytes - coalesce((SELECT length(body) + coalesce(length(CAST(inline AS BLOB)), 0)
                                       FROM results WHERE task = old.task), 0)
     WHERE name = (SELECT owner FROM tasks WHERE n = old.task);
END;

CREATE TRIGGER results_weighed_changed AFTER UPDATE ON results BEGIN
    UPDATE owners
       SET bytes = bytes + length(new.body) + coalesce(length(CAST(new.inline AS BLOB)), 0)
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

CREATE TRIGGER files_weighed AFTER INSERT ON files BEGIN
    UPDATE owners SET bytes = bytes + new.bytes
     WHERE name = (SELECT owner FROM tasks WHERE n = new.task);
END;

-- These three go with their task alone; afterwards nobody could tell whose they were.
CREATE TRIGGER tasks_weighed_deleted BEFORE DELETE ON tasks BEGIN
    UPDATE owners
       SET bytes = bytes - coalesce((SELECT length(body) FROM inputs WHERE task = old.n), 0)
                 - coalesce((SELECT length(body) + coalesce(length(CAST(inline AS BLOB)), 0)
                               FROM results WHERE task = old.n), 0)
                 - coalesce((SELECT sum(f.bytes) FROM files f WHERE f.task = old.n), 0)
     WHERE name = old.owner;
END;

CREATE TRIGGER contexts_weighed AFTER INSERT ON contexts BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, length(CAST(new.json AS BLOB)))
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER contexts_weighed_changed AFTER UPDATE OF json ON contexts BEGIN
    UPDATE owners
       SET bytes = bytes + length(CAST(new.json AS BLOB)) - length(CAST(old.json AS BLOB))
     WHERE name = new.owner;
END;

CREATE TRIGGER contexts_weighed_deleted AFTER DELETE ON contexts BEGIN
    UPDATE owners SET bytes = bytes - length(CAST(old.json AS BLOB)) WHERE name = old.owner;
END;

-- What there is already.
INSERT INTO owners (name, bytes)
SELECT owner, sum(bytes) FROM (
    SELECT owner, 200 + length(CAST(payload AS BLOB)) AS bytes FROM events
    UNION ALL SELECT owner, length(CAST(json AS BLOB)) FROM contexts
    UNION ALL SELECT t.owner, length(i.body) FROM inputs i JOIN tasks t ON t.n = i.task
    UNION ALL SELECT t.owner, length(r.body) + coalesce(length(CAST(r.inline AS BLOB)), 0)
                FROM results r JOIN tasks t ON t.n = r.task
    UNION ALL SELECT t.owner, f.bytes FROM files f JOIN tasks t ON t.n = f.task)
 WHERE true GROUP BY owner
    ON CONFLICT DO UPDATE SET bytes = excluded.bytes;

UPDATE tasks
   SET event_bytes = (SELECT coalesce(sum(200 + length(CAST(e.payload AS BLOB))), 0)
                        FROM events e WHERE e.task = tasks.n);
