-- One owner's tasks, newest first, from below :before; what is NULL is no condition.
-- in: owner text, before int, status status?, type text?, group_id text?, limit int, skip int
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE owner = :owner AND n < :before
   AND (:status IS NULL OR status = :status)
   AND (:type IS NULL OR type = :type)
   AND (:group_id IS NULL OR group_id = :group_id)
 ORDER BY n DESC LIMIT :limit OFFSET :skip;
