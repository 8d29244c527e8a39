SELECT fingerprint, task FROM idempotency
 WHERE owner = :owner AND key = :key AND expires_at > :now;
