-- The number of the newest task, 0 at first.
-- value: n int
SELECT coalesce(max(n), 0) AS n FROM tasks;
