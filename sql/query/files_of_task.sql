SELECT name, bytes, content_type FROM files WHERE task = :task ORDER BY name;
