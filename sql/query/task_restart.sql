-- Has a task run anew with so many attempts: a running one once it has stopped, a finished one by task_retry. The
-- last word counts: what was to be cancelled is not.
-- in: n int, attempts int, now int
-- gives: changed
UPDATE tasks SET restart = :attempts, cancel_requested = 0, updated_at = :now
 WHERE n = :n AND status <> 'pending';
