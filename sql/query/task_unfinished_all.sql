-- As task_unfinished_owner, for everyone's tasks.
-- in: limit int
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks INDEXED BY tasks_waiting WHERE status = 'pending' AND delayed = 0
             UNION ALL
             SELECT n FROM tasks INDEXED BY tasks_delayed WHERE status = 'pending' AND delayed = 1
             UNION ALL
             SELECT n FROM tasks INDEXED BY tasks_running WHERE status = 'running'
             ORDER BY n DESC LIMIT :limit)
 ORDER BY n DESC;
