-- in: n int, runner int, now int, lease_until int, pid int?, pid_start int?
UPDATE tasks
   SET status = 'running', attempt = attempt + 1, runner = :runner, lease_until = :lease_until,
       pid = :pid, pid_start = :pid_start, run_at = NULL,
       waited_ms = max(0, :now - coalesce(run_at, updated_at)), started_at = :now, completed_at = NULL,
       updated_at = :now, progress = 0, phase = NULL, message = NULL, remaining = NULL,
       error_code = NULL, error_message = NULL, error_retryable = NULL, exit_status = NULL, signal = NULL
 WHERE n = :n AND status = 'pending';
