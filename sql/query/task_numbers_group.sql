-- The numbers of the newest tasks of a group from below :before to above :above; a status that is NULL is no
-- condition.
-- in: like task_numbers_group_type
-- rows: n int
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'pending'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'pending')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'running'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'running')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'completed'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'completed')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'failed'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'failed')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'timeout'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'timeout')
UNION ALL
SELECT n FROM tasks WHERE owner = :owner AND group_id = :group_id AND status = 'cancelled'
    AND n < :before AND n > :above AND (:status IS NULL OR :status = 'cancelled')
 ORDER BY n DESC LIMIT :limit;
