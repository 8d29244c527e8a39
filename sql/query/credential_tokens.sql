-- All tokens but those of jobs, oldest first.
-- rows: like credential_find
SELECT id, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, revoked_at, hash
  FROM credentials WHERE kind = 'token' AND task IS NULL ORDER BY id;
