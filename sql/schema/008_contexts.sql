-- The context of a group, apart from its counts: these are read and written all the time, and a document of
-- up to 1 MiB must not lie between them. A table with rowids, because a search in one without reads whole
-- rows to compare their keys, here a mebibyte each (measured with 200 of them: 4.2 ms a read, this 0.8).

CREATE TABLE contexts (
    n          INTEGER PRIMARY KEY,
    owner      TEXT NOT NULL,
    name       TEXT NOT NULL,    -- of the group, which has a row and counts the versions
    json       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT;

INSERT INTO contexts (owner, name, json, updated_at)
SELECT owner, name, context, updated_at FROM groups WHERE context IS NOT NULL;

DROP INDEX groups_empty;

ALTER TABLE groups DROP COLUMN context;

CREATE INDEX groups_empty ON groups (updated_at)
    WHERE pending + running + completed + failed + timeout + cancelled = 0 AND version = 0;

-- A context that is written is a new version, which writes the event.
CREATE TRIGGER contexts_set AFTER INSERT ON contexts BEGIN
    UPDATE groups SET version = version + 1, updated_at = max(updated_at, new.updated_at)
     WHERE owner = new.owner AND name = new.name;
END;

CREATE TRIGGER contexts_replaced AFTER UPDATE OF json ON contexts BEGIN
    UPDATE groups SET version = version + 1, updated_at = max(updated_at, new.updated_at)
     WHERE owner = new.owner AND name = new.name;
END;

CREATE TRIGGER groups_deleted AFTER DELETE ON groups BEGIN
    DELETE FROM contexts WHERE owner = old.owner AND name = old.name;
END;
