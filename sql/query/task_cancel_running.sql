-- The runner sees the wish and stops the job.
-- in: n int, now int
UPDATE tasks SET cancel_requested = 1, restart = 0, updated_at = :now
 WHERE n = :n AND status = 'running' AND NOT cancel_requested;
