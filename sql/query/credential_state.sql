-- As credential_find has them.
-- in: id int, now int
-- row: expires_at int?, revoked_at int?
SELECT c.expires_at, coalesce(c.revoked_at,
       (SELECT t.lease_until FROM tasks t WHERE t.n = c.task AND t.lease_until < :now)) AS revoked_at
  FROM credentials c WHERE c.id = :id;
