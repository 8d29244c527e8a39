-- The order of the columns is that of lib/store/credentials.c.
SELECT id, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at, revoked_at, hash
  FROM credentials WHERE hash = :hash;
