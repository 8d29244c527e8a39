-- Whether the folder of a task's files is in use, or about to be.
SELECT EXISTS (SELECT 1 FROM tasks t
                WHERE t.id = :id
                  AND (t.status = 'running' OR EXISTS (SELECT 1 FROM files f WHERE f.task = t.n)));
