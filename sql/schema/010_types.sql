-- What is known of job types besides their files.

-- Of these no task is claimed until somebody resumes them; what runs goes on.
CREATE TABLE paused_types (
    type      TEXT PRIMARY KEY,
    paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Types whose jobs a runner cannot start, for a reason that is the site's to mend. Each runner keeps its own rows;
-- they count while it lives and go with it.
CREATE TABLE broken_types (
    runner INTEGER NOT NULL, -- runners.id
    type   TEXT NOT NULL,
    why    TEXT NOT NULL,    -- for people; names no folder
    since  INTEGER NOT NULL,
    PRIMARY KEY (type, runner)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER runners_deleted AFTER DELETE ON runners BEGIN
    DELETE FROM broken_types WHERE runner = old.id;
END;
