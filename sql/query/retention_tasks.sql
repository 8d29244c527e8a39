-- Tasks that finished before :before, the oldest first.
-- in: before int, limit int
-- rows: n int, id id
SELECT n, id FROM tasks
 WHERE completed_at < :before
 ORDER BY completed_at LIMIT :limit;
