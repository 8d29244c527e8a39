-- Gives up uploads that nobody goes on with; those that were given up have 0.
-- in: before int, limit int
-- gives: changed
UPDATE uploads SET bytes = 0, touched_at = 0 WHERE id IN
    (SELECT id FROM uploads WHERE task IS NULL AND touched_at > 0 AND touched_at < :before
      ORDER BY touched_at LIMIT :limit);
