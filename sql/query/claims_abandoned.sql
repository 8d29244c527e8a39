-- Running tasks of other runners: those whose lease ended or whose runner said goodbye, or all.
-- in: runner int, now int, all_others bool
-- rows: n int, runner int, attempt int, id id, type text, max_attempts int, lost int, pid int, pid_start int,
--     lease_until int, runner_pid int, runner_start int, boot_id id, session int
SELECT t.n, t.runner, t.attempt, t.id, t.type, t.max_attempts, t.lost, t.pid, t.pid_start,
       t.lease_until, r.pid AS runner_pid, r.pid_start AS runner_start, r.boot_id, r.session
  FROM tasks t LEFT JOIN runners r ON r.id = t.runner
 WHERE t.status = 'running' AND t.runner <> :runner
   AND (:all_others OR t.lease_until < :now OR r.seen_until < :now);
