-- Types may say themselves how long their tasks are kept: what is old is looked for type by type.

DROP INDEX tasks_finished;

CREATE INDEX tasks_finished ON tasks (type, completed_at)
    WHERE completed_at IS NOT NULL; -- that is: finished
