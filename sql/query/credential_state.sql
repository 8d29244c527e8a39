-- in: id int
-- row: expires_at int?, revoked_at int?
SELECT expires_at, revoked_at FROM credentials WHERE id = :id;
