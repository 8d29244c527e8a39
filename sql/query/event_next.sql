-- The first event behind :seq, whoever's it is.
-- in: seq int
-- row: seq int, ts int
SELECT seq, ts FROM events WHERE seq > :seq ORDER BY seq LIMIT 1;
