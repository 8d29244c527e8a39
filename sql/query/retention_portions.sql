-- Portions of uploads that were given up.
-- in: touched_at int, limit int
-- gives: changed
DELETE FROM portions WHERE n IN
    (SELECT p.n FROM uploads u JOIN portions p ON p.upload = u.id
      WHERE u.task IS NULL AND u.touched_at = :touched_at LIMIT :limit);
