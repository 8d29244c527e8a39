-- Groups without tasks that never had a context.
-- in: before int, limit int
-- gives: changed
DELETE FROM groups WHERE (owner, name) IN
    (SELECT owner, name FROM groups
      WHERE pending + running + completed + failed + timeout + cancelled = 0
        AND version = 0 AND updated_at < :before
      ORDER BY updated_at LIMIT :limit);
