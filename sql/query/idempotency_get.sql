-- in: owner text, key text, now int, fingerprint blob
-- row: same bool, task int
SELECT fingerprint = :fingerprint AS same, task FROM idempotency
 WHERE owner = :owner AND key = :key AND expires_at > :now;
