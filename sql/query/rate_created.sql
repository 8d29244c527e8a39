-- When an owner's newest task but :skip was created.
-- in: owner text, skip int
-- value: created_at int
SELECT created_at FROM tasks
 WHERE n = (SELECT n FROM tasks WHERE owner = :owner AND status = 'pending'
            UNION ALL
            SELECT n FROM tasks WHERE owner = :owner AND status = 'running'
            UNION ALL
            SELECT n FROM tasks WHERE owner = :owner AND status = 'completed'
            UNION ALL
            SELECT n FROM tasks WHERE owner = :owner AND status = 'failed'
            UNION ALL
            SELECT n FROM tasks WHERE owner = :owner AND status = 'timeout'
            UNION ALL
            SELECT n FROM tasks WHERE owner = :owner AND status = 'cancelled'
            ORDER BY n DESC LIMIT 1 OFFSET :skip);
