-- What may be asked for only once at a time: while a task of this owner, type and text is unfinished, it is
-- the answer to another request with the same text. Programs look inside the transaction that would create
-- the second one; the index is not UNIQUE because an explicit retry may bring an older one back.

ALTER TABLE tasks ADD COLUMN unique_text TEXT;

CREATE INDEX tasks_unique ON tasks (owner, type, unique_text)
    WHERE unique_text IS NOT NULL AND (status = 'pending' OR status = 'running');
