-- The newest of an owner's tasks that wait or run.
-- in: owner text, limit int
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks WHERE owner = :owner AND status = 'pending'
             UNION ALL
             SELECT n FROM tasks WHERE owner = :owner AND status = 'running'
             ORDER BY n DESC LIMIT :limit)
 ORDER BY n DESC;
