-- Since when the task that waits longest at the head of a queue has been due; NULL: none is. Those of a type that is
-- paused do not wait for a runner.
-- in: now int
-- value: since int?
SELECT min(since) AS since FROM (
    SELECT (SELECT coalesce(t.run_at, t.updated_at) FROM tasks t INDEXED BY tasks_ready
             WHERE t.status = 'pending' AND t.delayed = 0 AND t.blocked = 0
               AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type
             ORDER BY t.n LIMIT 1) AS since
      FROM queues q
     WHERE q.ready > 0 AND NOT EXISTS (SELECT 1 FROM paused_types p WHERE p.type = q.type)
    UNION ALL
    SELECT min(t.run_at) FROM tasks t INDEXED BY tasks_delayed
     WHERE t.status = 'pending' AND t.delayed = 1 AND t.run_at <= :now
       AND NOT EXISTS (SELECT 1 FROM paused_types p WHERE p.type = t.type));
