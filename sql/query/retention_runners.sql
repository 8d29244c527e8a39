-- Runners that are long gone and that no task names.
-- in: before int, limit int
-- gives: changed
DELETE FROM runners WHERE id IN
    (SELECT r.id FROM runners r
      WHERE r.seen_until < :before
        AND NOT EXISTS (SELECT 1 FROM tasks x WHERE x.status = 'running' AND x.runner = r.id)
      LIMIT :limit);
