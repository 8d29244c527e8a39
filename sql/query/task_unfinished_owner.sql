-- The newest of the unfinished are found first, because only those shall be joined and counted; the
-- plus keeps SQLite from walking all tasks of the owner in their order instead.
-- in: owner text, limit int
-- rows: like task_by_id
SELECT * FROM task_page_rows
 WHERE n IN (SELECT n FROM tasks
              WHERE owner = :owner AND status IN ('pending', 'running')
              ORDER BY +n DESC LIMIT :limit)
 ORDER BY n DESC;
