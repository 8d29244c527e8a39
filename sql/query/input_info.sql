-- in: task int
-- row: content_type text, bytes int, portions bool
SELECT content_type, coalesce((SELECT bytes FROM uploads WHERE task = :task), length(body)) AS bytes,
       EXISTS (SELECT 1 FROM uploads WHERE task = :task) AS portions
  FROM inputs WHERE task = :task;
