-- As task_unfinished_owner, for everyone's tasks.
-- in: limit int
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks INDEXED BY tasks_all_by_status WHERE status = 'pending'
             UNION ALL
             SELECT n FROM tasks INDEXED BY tasks_all_by_status WHERE status = 'running'
             ORDER BY n DESC LIMIT :limit)
 ORDER BY n DESC;
