-- rows: type text, status status, tasks int
SELECT type, status, tasks FROM task_counts ORDER BY type, status;
