-- in: task int, name text, bytes int, content_type text
INSERT INTO files (task, name, bytes, content_type) VALUES (:task, :name, :bytes, :content_type);
