-- in: upload int, body blob
INSERT INTO portions (upload, body) VALUES (:upload, :body);
