-- As task_page_owner, of one status.
-- in: like task_page_owner
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE owner = :owner AND status = :status AND n < :before
   AND (:type IS NULL OR type = :type)
   AND (:group_id IS NULL OR group_id = :group_id)
 ORDER BY n DESC LIMIT :limit OFFSET :skip;
