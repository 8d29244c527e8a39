-- in: before int, limit int
-- gives: changed
DELETE FROM idempotency WHERE (owner, key) IN
    (SELECT owner, key FROM idempotency WHERE expires_at <= :before ORDER BY expires_at LIMIT :limit);
