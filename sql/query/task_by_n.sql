-- in: n int
-- rows: like task_by_id
SELECT * FROM task_page_rows WHERE n = :n;
