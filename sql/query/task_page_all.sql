-- As task_page_owner, for everyone's tasks.
-- in: like task_page_owner
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n < :before
   AND (:status IS NULL OR status = :status)
   AND (:type IS NULL OR type = :type)
   AND (:group_id IS NULL OR group_id = :group_id)
 ORDER BY n DESC LIMIT :limit OFFSET :skip;
