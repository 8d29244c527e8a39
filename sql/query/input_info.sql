-- in: task int
-- row: content_type text, bytes int
SELECT content_type, length(body) AS bytes FROM inputs WHERE task = :task;
