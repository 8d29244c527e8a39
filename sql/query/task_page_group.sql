-- As task_page_owner, of one group.
-- in: like task_page_owner
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE owner = :owner AND group_id = :group_id AND n < :before
   AND (:status IS NULL OR status = :status)
   AND (:type IS NULL OR type = :type)
 ORDER BY n DESC LIMIT :limit OFFSET :skip;
