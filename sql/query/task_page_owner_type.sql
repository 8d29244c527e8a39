-- As task_page_owner, of one type.
-- in: like task_page_group_type
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'pending' AND n < :before
                 AND (:status IS NULL OR :status = 'pending')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'running' AND n < :before
                 AND (:status IS NULL OR :status = 'running')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'completed' AND n < :before
                 AND (:status IS NULL OR :status = 'completed')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'failed' AND n < :before
                 AND (:status IS NULL OR :status = 'failed')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'timeout' AND n < :before
                 AND (:status IS NULL OR :status = 'timeout')
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND type = :type AND status = 'cancelled' AND n < :before
                 AND (:status IS NULL OR :status = 'cancelled')
             ORDER BY n DESC LIMIT :limit OFFSET :skip)
 ORDER BY n DESC;
