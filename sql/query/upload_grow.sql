-- Counts one more portion, unless the upload was given up.
-- in: id int, bytes int, now int
-- gives: changed
UPDATE uploads SET stored = stored + :bytes, touched_at = :now
 WHERE id = :id AND task IS NULL AND touched_at > 0 AND stored + :bytes <= bytes;
