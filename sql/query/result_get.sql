-- in: task int
-- rows: content_type text, body blob
SELECT content_type, body FROM results WHERE task = :task;
