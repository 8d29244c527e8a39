-- As task_numbers_group, of one type.
-- in: owner text, group_id text, type text?, status status?, before int, above int, limit int
-- rows: like task_numbers_group
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'pending'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'pending')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'running'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'running')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'completed'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'completed')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'failed'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'failed')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'timeout'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'timeout')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND type = :type AND status = 'cancelled'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'cancelled')
 ORDER BY n DESC LIMIT :limit;
