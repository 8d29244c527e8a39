-- in: task int, content_type text, body blob
INSERT INTO inputs (task, content_type, body) VALUES (:task, :content_type, :body);
