-- Where somebody asked for it (tasks.restart), a task that goes back to waiting begins anew.
-- in: n int, runner int, attempt int, status status, unspent bool, lost bool, run_at int?, now int,
--     error_code text?, error_message text?, error_retryable int?, exit_status int?, signal int?
-- gives: changed
UPDATE tasks
   SET status = :status, progress = CASE :status WHEN 'completed' THEN 100 WHEN 'pending' THEN 0 ELSE progress END,
       phase = CASE :status WHEN 'pending' THEN NULL ELSE phase END,
       message = CASE :status WHEN 'pending' THEN NULL ELSE message END,
       attempt = attempt - :unspent, run_at = :run_at,
       max_attempts = iif(:status = 'pending' AND restart > 0, attempt - :unspent + restart,
                          max_attempts + (:lost AND :status = 'pending')),
       earlier = iif(:status = 'pending' AND restart > 0, attempt - :unspent, earlier),
       lost = iif(:status = 'pending' AND restart > 0, 0, lost + :lost),
       started_at = iif(:status = 'pending' AND restart > 0, NULL, started_at), restart = 0,
       completed_at = CASE :status WHEN 'pending' THEN NULL ELSE :now END, updated_at = :now,
       error_code = :error_code, error_message = :error_message, error_retryable = :error_retryable,
       exit_status = :exit_status, signal = :signal,
       runner = NULL, lease_until = NULL, pid = NULL, pid_start = NULL, remaining = NULL
 WHERE n = :n AND status = 'running' AND runner = :runner AND attempt = :attempt;
