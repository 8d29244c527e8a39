-- When there is something to claim, or a task whose time comes: now (0) when a task is ready whose type is open
-- (see claim_next), else the earliest run_at of those that wait for it.
-- in: bounds text?
-- value: due int?
SELECT coalesce(
    (SELECT 0 FROM task_counts p
      WHERE p.status = 'pending' AND p.tasks > 0
        AND EXISTS (SELECT 1 FROM queues q WHERE q.type = p.type AND q.ready > 0)
        AND NOT EXISTS (SELECT 1 FROM paused_types s WHERE s.type = p.type)
        AND (:bounds IS NULL OR NOT EXISTS (
             SELECT 1 FROM json_each(:bounds) j
              WHERE j.key = p.type AND (j.value = 0 OR EXISTS (
                    SELECT 1 FROM task_counts c
                     WHERE c.type = p.type AND c.status = 'running' AND c.tasks >= j.value))))
      LIMIT 1),
    (SELECT min(t.run_at) FROM tasks t INDEXED BY tasks_delayed WHERE t.status = 'pending' AND t.delayed = 1)) AS due;
