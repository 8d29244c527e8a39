-- Whether the folder of a task's files is in use, or about to be.
-- in: id text
-- value: kept bool
SELECT EXISTS (SELECT 1 FROM tasks t
                WHERE t.id = :id
                  AND (t.status = 'running' OR EXISTS (SELECT 1 FROM files f WHERE f.task = t.n))) AS kept;
