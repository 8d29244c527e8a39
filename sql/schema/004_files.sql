-- Files that jobs made: what `files` of a task shows. Their bytes lie in the folder "files" beside the
-- database, one folder a task.

CREATE TABLE files (
    task         INTEGER NOT NULL,   -- tasks.n
    name         TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    PRIMARY KEY (task, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tasks_deleted_files AFTER DELETE ON tasks BEGIN
    DELETE FROM files WHERE task = old.n;
END;
