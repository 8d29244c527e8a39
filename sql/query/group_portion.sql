-- Some tasks of a group behind :after and not behind :until, oldest first, whatever their status: a walk over
-- many ends after :limit rows.
-- in: owner text, group_id text, after int, until int, limit int
-- rows: n int, type text, status status
SELECT n, type, status FROM tasks
 WHERE n IN (SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'pending'
                 AND n > :after AND n <= :until
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'running'
                 AND n > :after AND n <= :until
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'completed'
                 AND n > :after AND n <= :until
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'failed'
                 AND n > :after AND n <= :until
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'timeout'
                 AND n > :after AND n <= :until
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'cancelled'
                 AND n > :after AND n <= :until
             ORDER BY n LIMIT :limit)
 ORDER BY n;
