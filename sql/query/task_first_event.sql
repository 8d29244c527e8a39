-- in: task int
-- value: seq int
SELECT coalesce(min(seq), 0) AS seq FROM events WHERE task = :task;
