-- in: task int
DELETE FROM remains WHERE task = :task AND NOT EXISTS (SELECT 1 FROM events WHERE task = :task);
