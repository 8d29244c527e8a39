INSERT INTO credentials (hash, kind, owner, scopes, name, subject_kind, subject, created_at, expires_at)
VALUES (:hash, :kind, :owner, :scopes, :name, :subject_kind, :subject, :now, :expires_at);
