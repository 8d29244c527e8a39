-- As task_unfinished_owner, for everyone's tasks.
SELECT * FROM task_rows
 WHERE n IN (SELECT n FROM tasks INDEXED BY tasks_waiting WHERE status = 'pending'
             UNION ALL
             SELECT n FROM tasks INDEXED BY tasks_running WHERE status = 'running'
             ORDER BY n DESC LIMIT :limit)
 ORDER BY n DESC;
