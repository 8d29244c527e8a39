-- The inputs of tasks from :first on that task_create_batch made.
-- in: cells cells, count int, first int
WITH RECURSIVE line(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM line WHERE i + 1 < :count)
INSERT INTO inputs (task, content_type, body)
SELECT :first + i, cell(:cells, i, 8), cell(:cells, i, 9) FROM line WHERE cell(:cells, i, 8) IS NOT NULL;
