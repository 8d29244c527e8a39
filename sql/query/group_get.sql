-- Without its context, which may be large. Finished tasks count as done in the progress of the whole.
-- in: owner text, name text
-- row: status status, type text?, error text?, pending int, running int, completed int, failed int, timeout int,
--     cancelled int, progress real, version int, created_at int, updated_at int
SELECT g.status, g.type, g.error, g.pending, g.running, g.completed, g.failed, g.timeout, g.cancelled,
       coalesce((100.0 * (g.completed + g.failed + g.timeout + g.cancelled)
                 + (SELECT coalesce(sum(t.progress), 0) FROM tasks t
                     WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = 'running'))
                / nullif(g.pending + g.running + g.completed + g.failed + g.timeout + g.cancelled, 0),
                0) AS progress,
       g.version, g.created_at, g.updated_at
  FROM groups g WHERE g.owner = :owner AND g.name = :name;
