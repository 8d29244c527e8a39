-- An expired key is free again.
-- in: owner text, key text, fingerprint blob, task int, expires_at int
INSERT INTO idempotency (owner, key, fingerprint, task, expires_at)
VALUES (:owner, :key, :fingerprint, :task, :expires_at)
    ON CONFLICT (owner, key) DO UPDATE SET fingerprint = excluded.fingerprint,
       task = excluded.task, expires_at = excluded.expires_at;
