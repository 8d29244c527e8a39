-- How many due tasks of a queue come before those behind task :n: the place of :n if it is one of them.
-- in: owner text, priority int, n int
-- value: place int
SELECT coalesce((SELECT sum(q.pending) FROM queues q WHERE q.owner = :owner AND q.priority >= :priority), 0)
     - (SELECT count(*) FROM tasks b
         WHERE b.status = 'pending' AND b.delayed = 0 AND b.owner = :owner
           AND b.priority = :priority AND b.n > :n) AS place;
