-- Makes it the input of a task, if it is complete.
-- in: id int, task int
-- gives: changed
UPDATE uploads SET task = :task
 WHERE id = :id AND task IS NULL AND touched_at > 0 AND stored = bytes;
