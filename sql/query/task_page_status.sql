-- As task_page_owner, for everyone's tasks of one status.
-- in: like task_page_group_type
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE status = :status AND n < :before
 ORDER BY n DESC LIMIT :limit OFFSET :skip;
