-- in: hash blob, kind text, owner text, scopes text, name text?, subject_kind text?, subject text?,
--     now int, expires_at int?, task int?
-- gives: rowid
INSERT INTO credentials (hash, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, task)
VALUES (:hash, :kind, :owner, :scopes, :name, :subject_kind, :subject, :now, :expires_at, :task);
