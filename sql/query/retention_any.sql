-- Whether retention_due would find anything.
-- :own, a JSON object, has the bound of types whose tasks are kept for a time of their own, instead of :before.
-- in: before int?, own text?, events int?, keys int?, tickets int?, runners int?, rates int?, uploads int?
-- value: any bool
SELECT EXISTS (SELECT 1 FROM remains)
    OR EXISTS (SELECT 1 FROM (SELECT DISTINCT type FROM task_counts) c
                  CROSS JOIN tasks t ON t.type = c.type AND t.completed_at <
                       coalesce((SELECT j.value FROM json_each(:own) j WHERE j.key = c.type), :before))
    OR EXISTS (SELECT 1 FROM events WHERE task IS NULL AND ts < :events)
    OR EXISTS (SELECT 1 FROM groups
                WHERE pending + running + completed + failed + timeout + cancelled = 0
                  AND version = 0 AND updated_at < :before)
    OR EXISTS (SELECT 1 FROM idempotency WHERE expires_at <= :keys)
    OR EXISTS (SELECT 1 FROM credentials WHERE kind = 'ticket' AND expires_at <= :tickets)
    OR EXISTS (SELECT 1 FROM runners r
                WHERE r.seen_until < :runners
                  AND NOT EXISTS (SELECT 1 FROM tasks x
                                   WHERE x.status = 'running' AND x.runner = r.id))
    OR EXISTS (SELECT 1 FROM rates WHERE window < :rates)
    OR EXISTS (SELECT 1 FROM uploads WHERE task IS NULL AND touched_at < :uploads) AS any;
