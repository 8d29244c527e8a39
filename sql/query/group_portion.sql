-- Some tasks of a group behind :after and not behind :until, oldest first, whatever their status: a walk over
-- many ends after :limit rows.
-- in: owner text, group_id text, after int, until int, limit int
-- rows: n int, type text, status status
SELECT n, type, status FROM tasks
 WHERE owner = :owner AND group_id = :group_id AND n > :after AND n <= :until ORDER BY n LIMIT :limit;
