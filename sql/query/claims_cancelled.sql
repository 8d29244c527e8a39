SELECT t.n, t.runner, t.attempt, t.id, t.type, t.max_attempts, t.lost, t.pid, t.pid_start,
       t.lease_until, r.pid, r.pid_start, r.boot_id, r.session
  FROM tasks t LEFT JOIN runners r ON r.id = t.runner
 WHERE t.status = 'running' AND t.runner = :runner AND t.cancel_requested;
