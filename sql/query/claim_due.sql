-- When there is something to claim: now (0) when a task waits for nothing, else the earliest run_at.
WITH open AS NOT MATERIALIZED (
    SELECT q.owner, q.priority, q.type FROM queues q INDEXED BY queues_by_turn
     WHERE q.pending > 0
       AND (:bounds IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:bounds) j CROSS JOIN task_counts c
             WHERE j.key = q.type AND c.type = q.type AND c.status = 'running' AND c.tasks >= j.value))
)
SELECT coalesce(
    (SELECT 0 FROM open q WHERE EXISTS
        (SELECT 1 FROM tasks t WHERE t.status = 'pending' AND t.run_at IS NULL AND t.blocked = 0
            AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type) LIMIT 1),
    (SELECT min((SELECT min(t.run_at) FROM tasks t
                  WHERE t.status = 'pending' AND t.run_at IS NOT NULL AND t.blocked = 0
                    AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type))
       FROM open q));
