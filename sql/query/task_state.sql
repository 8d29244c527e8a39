-- What a stream must know to end: the status, and the newest event.
SELECT t.status, (SELECT max(e.seq) FROM events e WHERE e.task = t.n) FROM tasks t WHERE t.n = :n;
