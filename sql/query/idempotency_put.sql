-- An expired key is free again.
-- in: owner text, key text, fingerprint blob, task int, joined bool, expires_at int
INSERT INTO idempotency (owner, key, fingerprint, task, joined, expires_at)
VALUES (:owner, :key, :fingerprint, :task, :joined, :expires_at)
    ON CONFLICT (owner, key) DO UPDATE SET fingerprint = excluded.fingerprint,
       task = excluded.task, joined = excluded.joined, expires_at = excluded.expires_at;
