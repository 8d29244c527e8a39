-- The queue of the highest priority that was served longest ago, of it and its owner's others of that
-- priority the oldest task that is due, and how many of its type run. Walks queues_by_turn and stops at
-- the first queue that has one; what is delayed costs nothing until it is due, and what is blocked never
-- does. A queue is not open while as many tasks of its type run as :bounds, a JSON object, says.
WITH open AS NOT MATERIALIZED (
    SELECT q.owner, q.priority, q.type, q.turn FROM queues q
     WHERE q.pending > 0
       AND (:bounds IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:bounds) j CROSS JOIN task_counts c
             WHERE j.key = q.type AND c.type = q.type AND c.status = 'running' AND c.tasks >= j.value))
), served AS (
    SELECT q.owner, q.priority FROM open q
     WHERE EXISTS (SELECT 1 FROM tasks t
                    WHERE t.status = 'pending' AND t.run_at IS NULL AND t.blocked = 0
                      AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type)
        OR EXISTS (SELECT 1 FROM tasks t
                    WHERE t.status = 'pending' AND t.run_at <= :now AND t.blocked = 0
                      AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type)
     ORDER BY q.priority DESC, q.turn LIMIT 1
), heads AS (
    SELECT (SELECT min(t.n) FROM tasks t
             WHERE t.status = 'pending' AND t.run_at IS NULL AND t.blocked = 0
               AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type) AS ready,
           (SELECT min(+t.n) FROM tasks t -- by tasks_delayed, not in the order of n
             WHERE t.status = 'pending' AND t.run_at <= :now AND t.blocked = 0
               AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type) AS due
      FROM served s CROSS JOIN open q WHERE q.owner = s.owner AND q.priority = s.priority
)
SELECT n, coalesce(run_at, updated_at), type, coalesce(
       (SELECT c.tasks FROM task_counts c WHERE c.type = tasks.type AND c.status = 'running'), 0)
  FROM tasks
 WHERE n = (SELECT min(min(ifnull(ready, 9223372036854775807), ifnull(due, 9223372036854775807)))
              FROM heads);
