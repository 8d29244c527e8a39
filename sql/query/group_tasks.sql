-- The tasks of a group in one status, oldest first.
SELECT n, type FROM tasks
 WHERE owner = :owner AND group_id = :group_id AND status = :status ORDER BY n;
