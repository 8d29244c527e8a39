-- What there is to remove. A NULL bound removes nothing.
-- in: like retention_any
-- row: tasks int, events int, groups int, keys int, tickets int, runners int, rates int,
--      uploads int
WITH old AS (
    SELECT t.n FROM (SELECT DISTINCT type FROM task_counts) c
     CROSS JOIN tasks t ON t.type = c.type AND t.completed_at <
           coalesce((SELECT j.value FROM json_each(:own) j WHERE j.key = c.type), :before)
)
SELECT (SELECT count(*) FROM old) AS tasks,
       (SELECT count(*) FROM events x WHERE x.task IN
           (SELECT n FROM old
             UNION ALL SELECT task FROM remains))
     + (SELECT count(*) FROM events WHERE task IS NULL AND ts < :events) AS events,
       (SELECT count(*) FROM groups
         WHERE pending + running + completed + failed + timeout + cancelled = 0
           AND version = 0 AND updated_at < :before) AS groups,
       (SELECT count(*) FROM idempotency WHERE expires_at <= :keys) AS keys,
       (SELECT count(*) FROM credentials WHERE kind = 'ticket' AND expires_at <= :tickets) AS tickets,
       (SELECT count(*) FROM runners r
         WHERE r.seen_until < :runners
           AND NOT EXISTS (SELECT 1 FROM tasks x WHERE x.status = 'running' AND x.runner = r.id)) AS runners,
       (SELECT count(*) FROM rates WHERE window < :rates) AS rates,
       (SELECT count(*) FROM uploads WHERE task IS NULL AND touched_at < :uploads) AS uploads;
