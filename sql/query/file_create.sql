INSERT INTO files (task, name, bytes, content_type) VALUES (:task, :name, :bytes, :content_type);
