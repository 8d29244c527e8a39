-- When an owner's newest task but :skip was created.
SELECT created_at FROM tasks WHERE owner = :owner ORDER BY n DESC LIMIT 1 OFFSET :skip;
