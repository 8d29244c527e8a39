-- When an owner's newest task but :skip was created.
-- in: owner text, skip int
-- value: created_at int
SELECT created_at FROM tasks WHERE owner = :owner ORDER BY n DESC LIMIT 1 OFFSET :skip;
