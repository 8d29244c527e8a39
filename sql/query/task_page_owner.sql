-- One owner's tasks, newest first, from below :before; a status that is NULL is no condition, and those of the six are
-- merged then.
-- in: like task_page_group_type
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks WHERE owner = :owner AND status = 'pending' AND n < :before
                 AND (:status IS NULL OR :status = 'pending')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'running' AND n < :before
                 AND (:status IS NULL OR :status = 'running')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'completed' AND n < :before
                 AND (:status IS NULL OR :status = 'completed')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'failed' AND n < :before
                 AND (:status IS NULL OR :status = 'failed')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'timeout' AND n < :before
                 AND (:status IS NULL OR :status = 'timeout')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'cancelled' AND n < :before
                 AND (:status IS NULL OR :status = 'cancelled')
             ORDER BY n DESC LIMIT :limit OFFSET :skip)
 ORDER BY n DESC;
