-- One that is a job's is revoked, too, since the lease of the runner is over that runs it.
-- in: hash blob, now int
-- rows: id int, kind text, owner text, scopes text, name text?, subject_kind text?, subject text?,
--     created_at int, expires_at int?, revoked_at int?, hash blob
SELECT c.id, c.kind, c.owner, c.scopes, c.name, c.subject_kind, c.subject, c.created_at, c.expires_at,
       coalesce(c.revoked_at,
                (SELECT t.lease_until FROM tasks t WHERE t.n = c.task AND t.lease_until < :now)) AS revoked_at,
       c.hash
  FROM credentials c WHERE c.hash = :hash;
