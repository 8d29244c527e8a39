-- What a stream must know to end: the status, and the newest event.
-- in: n int
-- row: status status, newest int
SELECT t.status, (SELECT max(e.seq) FROM events e WHERE e.task = t.n) AS newest FROM tasks t WHERE t.n = :n;
