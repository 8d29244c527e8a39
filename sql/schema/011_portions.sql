-- Inputs that are too large for one transaction: stored in portions before their task is, in a small transaction
-- each, so that nobody waits for long and the task is there only with all of its input.

CREATE TABLE uploads (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again
    owner      TEXT NOT NULL,
    bytes      INTEGER NOT NULL,           -- of the whole; the owner has them from the beginning
    stored     INTEGER NOT NULL DEFAULT 0, -- of these, in portions
    task       INTEGER,                    -- whose input it is; NULL: of none yet, or none any more
    touched_at INTEGER NOT NULL            -- when the newest portion came; 0: given up, its portions go
) STRICT;

CREATE UNIQUE INDEX uploads_of_task ON uploads (task) WHERE task IS NOT NULL;
CREATE INDEX uploads_loose ON uploads (touched_at) WHERE task IS NULL;

CREATE TABLE portions (
    n      INTEGER PRIMARY KEY, -- ascending within an upload
    upload INTEGER NOT NULL,
    body   BLOB NOT NULL
) STRICT;

CREATE INDEX portions_of_upload ON portions (upload);

CREATE TRIGGER uploads_weighed AFTER INSERT ON uploads BEGIN
    INSERT INTO owners (name, bytes) VALUES (new.owner, new.bytes)
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER uploads_weighed_changed AFTER UPDATE OF bytes ON uploads BEGIN
    UPDATE owners SET bytes = bytes + new.bytes - old.bytes WHERE name = new.owner;
END;

-- With its task; retention removes the portions by and by.
CREATE TRIGGER uploads_given_up AFTER DELETE ON tasks BEGIN
    UPDATE uploads SET task = NULL, bytes = 0, touched_at = 0 WHERE task = old.n;
END;
