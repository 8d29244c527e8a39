-- Tasks of a runner that are to be cancelled, or to run anew.
-- in: runner int
-- rows: like claims_abandoned
SELECT t.n, t.runner, t.attempt, t.id, t.type, t.max_attempts, t.lost, t.pid, t.pid_start,
       t.lease_until, r.pid AS runner_pid, r.pid_start AS runner_start, r.boot_id, r.session
  FROM tasks t LEFT JOIN runners r ON r.id = t.runner
 WHERE t.status = 'running' AND t.runner = :runner AND (t.cancel_requested OR t.restart > 0);
