-- The group of a task, if it is of one.
-- in: n int
-- row: owner text, name text
SELECT owner, group_id AS name FROM tasks WHERE n = :n AND group_id IS NOT NULL;
