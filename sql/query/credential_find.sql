-- in: hash blob
-- rows: id int, kind text, owner text, scopes text, name text?, subject_kind text?, subject text?,
--     created_at int, expires_at int?, revoked_at int?, hash blob
SELECT id, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, revoked_at, hash
  FROM credentials WHERE hash = :hash;
