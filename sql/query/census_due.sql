-- Since when the task that waits longest at the head of a queue has been due; NULL: none is.
SELECT min(since) FROM (
    SELECT (SELECT t.updated_at FROM tasks t
             WHERE t.status = 'pending' AND t.run_at IS NULL AND t.blocked = 0
               AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type
             ORDER BY t.n LIMIT 1) AS since
      FROM queues q INDEXED BY queues_by_turn WHERE q.pending > 0
    UNION ALL
    SELECT (SELECT min(t.run_at) FROM tasks t
             WHERE t.status = 'pending' AND t.run_at <= :now AND t.blocked = 0
               AND t.owner = q.owner AND t.priority = q.priority AND t.type = q.type)
      FROM queues q INDEXED BY queues_by_turn WHERE q.pending > 0);
