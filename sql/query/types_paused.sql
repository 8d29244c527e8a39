-- in: limit int
-- rows: type text
SELECT type FROM paused_types ORDER BY type LIMIT :limit;
