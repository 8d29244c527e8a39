-- As task_page_owner, of one status.
SELECT * FROM task_rows
 WHERE owner = :owner AND status = :status AND n < :before
   AND (:type IS NULL OR type = :type)
   AND (:group_id IS NULL OR group_id = :group_id)
 ORDER BY n DESC LIMIT :limit;
