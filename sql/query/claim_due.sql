-- When there is something to claim: now (0) when a task waits for nothing, else the earliest run_at.
SELECT coalesce(
    (SELECT 0 FROM queues q WHERE q.pending > 0 AND EXISTS
        (SELECT 1 FROM runnable t WHERE t.run_at IS NULL
            AND t.owner = q.owner AND t.priority = q.priority) LIMIT 1),
    (SELECT min((SELECT min(t.run_at) FROM runnable t
                  WHERE t.run_at IS NOT NULL
                    AND t.owner = q.owner AND t.priority = q.priority))
       FROM queues q WHERE q.pending > 0));
