-- Lists and places in the queue that cost what they show, however many tasks there are.

-- ---- lists ----

-- Each list is walked in an index that ends with the status: where none is asked for, those of the six are merged.
-- Of an owner's tasks there is tasks_by_status, which is also what finds them all.
DROP INDEX tasks_by_owner;
DROP INDEX tasks_by_group;
DROP INDEX tasks_failed; -- the newest of two statuses in tasks_by_group

CREATE INDEX tasks_by_group ON tasks (owner, group_id, status) WHERE group_id IS NOT NULL;
CREATE INDEX tasks_by_type ON tasks (owner, type, status);
CREATE INDEX tasks_all_by_status ON tasks (status);
CREATE INDEX tasks_all_by_type ON tasks (type, status);

-- Whose groups have a name.
CREATE INDEX groups_by_name ON groups (name, owner);

-- What a group records (see 007): the newest of those that failed or timed out is found in two looks.
DROP VIEW group_records;

CREATE VIEW group_records AS
WITH newest AS NOT MATERIALIZED (
    SELECT g.owner, g.name, g.status,
           max(coalesce((SELECT max(t.n) FROM tasks t
                          WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = 'failed'), 0),
               coalesce((SELECT max(t.n) FROM tasks t
                          WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = 'timeout'), 0)) AS n
      FROM groups g
)
SELECT g.owner, g.name,
       CASE g.status WHEN 'failed' THEN
           (SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'failed' AND b.type < t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'failed' AND b.type > t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'timeout' AND b.type < t.type)
                         AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = 'timeout' AND b.type > t.type)
                        THEN t.type END
              FROM tasks t WHERE t.n = g.n)
       ELSE
           (SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM tasks b WHERE b.owner = g.owner AND b.group_id = g.name
                                            AND b.status = g.status AND b.type > t.type)
                        THEN t.type END
              FROM tasks t WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = g.status
             ORDER BY t.type LIMIT 1)
       END AS type,
       CASE g.status WHEN 'failed' THEN (SELECT e.error FROM task_errors e WHERE e.n = g.n) END AS error
  FROM newest g;
