-- in: owner text, bytes int, now int
-- gives: rowid
INSERT INTO uploads (owner, bytes, touched_at) VALUES (:owner, :bytes, :now);
