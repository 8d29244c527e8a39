-- How many due tasks of a queue come before those behind task :n: the place of :n if it is one of them (see
-- 019_places.sql). Adds up a row for each 128 numbers behind it, and reads the tasks between it and the nearer end of its
-- own 128: at most 64, in the order in which they lie in the table.
-- in: owner text, priority int, n int
-- value: place int
SELECT coalesce((SELECT sum(q.pending) FROM queues q WHERE q.owner = :owner AND q.priority >= :priority), 0)
     - coalesce((SELECT sum(p.pending) FROM queue_parts p
                  WHERE p.owner = :owner AND p.priority = :priority AND p.part > (:n >> 7) - (:n & 127 < 64)), 0)
     + (SELECT count(*) FROM tasks b NOT INDEXED
         WHERE :n & 127 < 64 AND b.n >= :n >> 7 << 7 AND b.n <= :n
           AND b.status = 'pending' AND b.owner = :owner AND b.priority = :priority AND b.delayed = 0)
     - (SELECT count(*) FROM tasks b NOT INDEXED
         WHERE :n & 127 >= 64 AND b.n > :n AND b.n <= :n | 127
           AND b.status = 'pending' AND b.owner = :owner AND b.priority = :priority AND b.delayed = 0) AS place;
