-- The portion of a task's input that comes after the portion :after (0: the first).
-- in: task int, after int
-- rows: n int, body blob
SELECT p.n, p.body FROM portions p
 WHERE p.upload = (SELECT id FROM uploads WHERE task = :task) AND p.n > :after
 ORDER BY p.n LIMIT 1;
