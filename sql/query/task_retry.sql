-- A finished task again, with as many further attempts as its type gives; a completed one only after task_restart.
-- in: n int, attempts int, now int
-- gives: changed
UPDATE tasks
   SET status = 'pending', max_attempts = attempt + :attempts, earlier = attempt, lost = 0, run_at = NULL,
       started_at = NULL, completed_at = NULL, updated_at = :now, progress = 0, phase = NULL,
       message = NULL, remaining = NULL, cancel_requested = 0, error_code = NULL, error_message = NULL,
       error_retryable = NULL, exit_status = NULL, signal = NULL, restart = 0
 WHERE n = :n AND (status IN ('failed', 'timeout', 'cancelled') OR (status = 'completed' AND restart > 0));
