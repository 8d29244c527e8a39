-- Of the owner that was served longest ago and has one, the task that goes next: of the highest priority the
-- oldest; and how many of its type run. Walks queue_owners_by_turn and stops at the first owner with an open
-- queue; what is delayed or blocked costs nothing. A queue is not open while its type is paused, or as many
-- tasks of it run as :bounds, a JSON object, says.
-- in: bounds text?
-- row: n int, since int, type text, running int
WITH open AS NOT MATERIALIZED (
    SELECT q.owner, q.priority, q.type FROM queues q
     WHERE q.ready > 0
       AND NOT EXISTS (SELECT 1 FROM paused_types s WHERE s.type = q.type)
       AND (:bounds IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:bounds) j
             WHERE j.key = q.type AND (j.value = 0 OR EXISTS (
                   SELECT 1 FROM task_counts c
                    WHERE c.type = q.type AND c.status = 'running' AND c.tasks >= j.value))))
), served AS (
    SELECT o.owner FROM queue_owners o
     WHERE o.ready > 0 AND EXISTS (SELECT 1 FROM open q WHERE q.owner = o.owner)
     ORDER BY o.turn LIMIT 1
), level AS (
    SELECT s.owner, (SELECT q.priority FROM open q WHERE q.owner = s.owner
                      ORDER BY q.priority DESC LIMIT 1) AS priority
      FROM served s
)
SELECT n, coalesce(run_at, updated_at) AS since, type, coalesce(
       (SELECT c.tasks FROM task_counts c WHERE c.type = tasks.type AND c.status = 'running'), 0) AS running
  FROM tasks
 WHERE n = (SELECT min((SELECT min(t.n) FROM tasks t INDEXED BY tasks_ready
                         WHERE t.status = 'pending' AND t.delayed = 0 AND t.blocked = 0
                           AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type))
              FROM level l CROSS JOIN open q WHERE q.owner = l.owner AND q.priority = l.priority);
