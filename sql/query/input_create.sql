INSERT INTO inputs (task, content_type, body) VALUES (:task, :content_type, :body);
