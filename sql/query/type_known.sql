-- Whether the database knows of a type, whatever there is in the jobs folder.
-- in: type text
-- value: known bool
SELECT EXISTS (SELECT 1 FROM paused_types WHERE type = :type)
    OR EXISTS (SELECT 1 FROM task_counts WHERE type = :type AND tasks > 0) AS known;
