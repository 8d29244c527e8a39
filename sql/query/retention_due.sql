-- What there is to remove. A NULL bound removes nothing.
SELECT (SELECT count(*) FROM tasks
         WHERE completed_at < :before),
       (SELECT count(*) FROM events x WHERE x.task IN
           (SELECT n FROM tasks
             WHERE completed_at < :before
             UNION ALL SELECT task FROM remains))
     + (SELECT count(*) FROM events WHERE task IS NULL AND ts < :events),
       (SELECT count(*) FROM groups
         WHERE pending + running + completed + failed + timeout + cancelled = 0
           AND version = 0 AND context IS NULL AND updated_at < :before),
       (SELECT count(*) FROM idempotency WHERE expires_at <= :keys),
       (SELECT count(*) FROM credentials WHERE kind = 'ticket' AND expires_at <= :tickets),
       (SELECT count(*) FROM runners r
         WHERE r.seen_until < :runners
           AND NOT EXISTS (SELECT 1 FROM tasks x WHERE x.status = 'running' AND x.runner = r.id)),
       (SELECT count(*) FROM rates WHERE window < :rates);
