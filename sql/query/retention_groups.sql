-- Groups without tasks that never had a context.
DELETE FROM groups WHERE (owner, name) IN
    (SELECT owner, name FROM groups
      WHERE pending + running + completed + failed + timeout + cancelled = 0
        AND version = 0 AND context IS NULL AND updated_at < :before
      ORDER BY updated_at LIMIT :limit);
