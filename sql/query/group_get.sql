-- Finished tasks count as done in the progress of the whole.
SELECT g.status, g.pending, g.running, g.completed, g.failed, g.timeout, g.cancelled,
       coalesce((100.0 * (g.completed + g.failed + g.timeout + g.cancelled)
                 + (SELECT coalesce(sum(t.progress), 0) FROM tasks t
                     WHERE t.owner = g.owner AND t.group_id = g.name AND t.status = 'running'))
                / nullif(g.pending + g.running + g.completed + g.failed + g.timeout + g.cancelled, 0),
                0) AS progress,
       g.context, g.version, g.created_at, g.updated_at
  FROM groups g WHERE g.owner = :owner AND g.name = :name;
