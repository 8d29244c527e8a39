-- Tasks that finished before :before, the oldest first.
SELECT n, id FROM tasks
 WHERE completed_at < :before
 ORDER BY completed_at LIMIT :limit;
