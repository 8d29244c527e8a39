-- Events of no task, the oldest first; a trigger moves the mark of their owner.
-- in: before int, limit int
-- gives: changed
DELETE FROM events WHERE seq IN
    (SELECT seq FROM events WHERE task IS NULL AND ts < :before ORDER BY ts LIMIT :limit);
