-- What is told of a task whose status is about to change. `since`: when the one that it has began, or
-- it was due.
-- in: n int
-- row: id id, request_id text, type text, status status, since int
SELECT id, request_id, type, status,
       CASE status WHEN 'pending' THEN coalesce(run_at, updated_at)
                   WHEN 'running' THEN started_at
                   ELSE completed_at END AS since
  FROM tasks WHERE n = :n;
