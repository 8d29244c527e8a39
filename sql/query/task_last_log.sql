-- The newest line of a task's log, if it is among its last events.
-- in: task int
-- value: payload text?
SELECT payload FROM events WHERE seq = (
    SELECT max(seq) FROM (
        SELECT seq, type FROM events WHERE task = :task ORDER BY seq DESC LIMIT 200)
     WHERE type = 'log.append');
