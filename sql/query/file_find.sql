SELECT bytes, content_type FROM files WHERE task = :task AND name = :name;
