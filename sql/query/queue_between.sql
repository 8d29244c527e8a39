-- How many due tasks of an owner and priority lie behind task :after, up to task :until: those in the rest of the part
-- of :after, in whole parts, and in the beginning of the part of :until (see 019_places.sql).
-- in: owner text, priority int, after int, until int
-- value: tasks int
SELECT (SELECT count(*) FROM tasks b NOT INDEXED
         WHERE b.n > :after AND b.n <= min(:until, :after | 127)
           AND b.status = 'pending' AND b.owner = :owner AND b.priority = :priority AND b.delayed = 0)
     + coalesce((SELECT sum(p.pending) FROM queue_parts p
                  WHERE p.owner = :owner AND p.priority = :priority
                    AND p.part > :after >> 7 AND p.part < :until >> 7), 0)
     + (SELECT count(*) FROM tasks b NOT INDEXED
         WHERE b.n > max(:after | 127, (:until | 127) - 128) AND b.n <= :until
           AND b.status = 'pending' AND b.owner = :owner AND b.priority = :priority AND b.delayed = 0) AS tasks;
