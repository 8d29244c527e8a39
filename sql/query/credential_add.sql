-- A ticket ends with the attempt whose token asked for it, and is worth nothing if that has ended meanwhile.
-- in: hash blob, kind text, owner text, scopes text, name text?, subject_kind text?, subject text?,
--     now int, expires_at int?, task int?, made_with int?
-- gives: rowid
INSERT INTO credentials (hash, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, task,
                         revoked_at)
VALUES (:hash, :kind, :owner, :scopes, :name, :subject_kind, :subject, :now, :expires_at,
        coalesce(:task, (SELECT m.task FROM credentials m WHERE m.id = :made_with)),
        (SELECT m.revoked_at FROM credentials m WHERE m.id = :made_with));
