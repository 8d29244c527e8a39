-- The newest first: what a reader still finds has no gap.
-- in: task int, limit int
INSERT INTO log_portions (task, size) VALUES (:task, :limit);
