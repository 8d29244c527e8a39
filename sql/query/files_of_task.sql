-- in: task int
-- rows: name text, bytes int, content_type text
SELECT name, bytes, content_type FROM files WHERE task = :task ORDER BY name;
