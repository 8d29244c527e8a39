-- The event of a deletion takes its time from the row.
-- in: n int, now int
UPDATE tasks SET updated_at = max(updated_at, :now) WHERE n = :n;
