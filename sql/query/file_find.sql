-- in: task int, name text
-- row: bytes int, content_type text
SELECT bytes, content_type FROM files WHERE task = :task AND name = :name;
