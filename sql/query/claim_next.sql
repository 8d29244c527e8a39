-- The queue of the highest priority that was served longest ago, and in it the oldest task that is
-- due. Walks queues_by_turn and stops at the first queue that has one; what is delayed costs nothing
-- until it is due.
UPDATE tasks
   SET status = 'running', attempt = attempt + 1, runner = :runner, lease_until = :lease_until,
       pid = NULL, pid_start = NULL, run_at = NULL,
       waited_ms = max(0, :now - coalesce(run_at, updated_at)), started_at = :now, completed_at = NULL,
       updated_at = :now, progress = 0, phase = NULL, message = NULL, remaining = NULL,
       error_code = NULL, error_message = NULL, error_retryable = NULL
 WHERE n = (SELECT (SELECT min(n) FROM (
                       SELECT min(t.n) AS n FROM runnable t
                        WHERE t.run_at IS NULL
                          AND t.owner = q.owner AND t.priority = q.priority
                       UNION ALL
                       SELECT min(+t.n) FROM runnable t -- by tasks_delayed, not in the order of n
                        WHERE t.run_at <= :now
                          AND t.owner = q.owner AND t.priority = q.priority))
              FROM queues q
             WHERE q.pending > 0
               AND (EXISTS (SELECT 1 FROM runnable t
                             WHERE t.run_at IS NULL
                               AND t.owner = q.owner AND t.priority = q.priority)
                 OR EXISTS (SELECT 1 FROM runnable t
                             WHERE t.run_at <= :now
                               AND t.owner = q.owner AND t.priority = q.priority))
             ORDER BY q.priority DESC, q.turn LIMIT 1)
RETURNING n, waited_ms;
