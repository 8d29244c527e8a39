-- in: seq int
-- value: task int
SELECT task FROM events WHERE seq = :seq;
