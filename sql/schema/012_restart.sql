-- Running a task anew, whatever became of it: a forced retry.

-- So many attempts it is to have then; 0: nobody asked for it. While a task runs this says that it is to be stopped,
-- and to wait again once it has; a cancel that comes later takes it back.
ALTER TABLE tasks ADD COLUMN restart INTEGER NOT NULL DEFAULT 0;

-- The status machine: what is not listed is refused.
DROP TRIGGER tasks_transition;

CREATE TRIGGER tasks_transition BEFORE UPDATE OF status ON tasks
WHEN old.status <> new.status AND NOT CASE old.status
    WHEN 'pending' THEN new.status = 'running' OR new.status = 'cancelled'
    WHEN 'running' THEN 1
    WHEN 'completed' THEN new.status = 'pending' AND old.restart > 0
    ELSE new.status = 'pending' END -- failed, timeout, cancelled
BEGIN
    SELECT raise(ABORT, 'this change of status is not allowed');
END;

-- It begins with nothing: what the earlier run gave is gone. The folder of its files is of no task then (see
-- lib/store/files.h).
CREATE TRIGGER tasks_restarted AFTER UPDATE OF restart ON tasks
WHEN old.restart > 0 AND new.restart = 0 AND new.status = 'pending'
BEGIN
    DELETE FROM results WHERE task = new.n;
    DELETE FROM files WHERE task = new.n;
    DELETE FROM checkpoints WHERE task = new.n;
END;

-- Weighed as where they are written. Those that go with their task are weighed by tasks_weighed_deleted; nobody
-- owns them any more when they come here.
CREATE TRIGGER results_weighed_deleted BEFORE DELETE ON results BEGIN
    UPDATE owners
       SET bytes = bytes - coalesce((SELECT length(body) + coalesce(length(CAST(inline AS BLOB)), 0)
                                       FROM results WHERE task = old.task), 0)
     WHERE name = (SELECT owner FROM tasks WHERE n = old.task);
END;

CREATE TRIGGER files_weighed_deleted BEFORE DELETE ON files BEGIN
    UPDATE owners SET bytes = bytes - old.bytes
     WHERE name = (SELECT owner FROM tasks WHERE n = old.task);
END;
