-- A few at a time, beside the writes that make them.
-- in: now int
DELETE FROM idempotency WHERE (owner, key) IN
    (SELECT owner, key FROM idempotency WHERE expires_at <= :now LIMIT 10);
