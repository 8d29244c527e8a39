-- in: n int
-- rows: like task_by_id
SELECT * FROM task_rows WHERE n = :n;
