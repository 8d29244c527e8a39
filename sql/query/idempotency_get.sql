-- in: owner text, key text, now int, fingerprint blob
-- row: same bool, task int, joined bool
SELECT fingerprint = :fingerprint AS same, task, joined FROM idempotency
 WHERE owner = :owner AND key = :key AND expires_at > :now;
