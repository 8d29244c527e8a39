-- All tokens, oldest first; the columns of credential_find.
SELECT id, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, revoked_at
  FROM credentials WHERE kind = 'token' ORDER BY id;
