-- Uploads that were given up and have no portions any more.
-- in: touched_at int, limit int
-- gives: changed
DELETE FROM uploads WHERE id IN
    (SELECT u.id FROM uploads u
      WHERE u.task IS NULL AND u.touched_at = :touched_at
        AND NOT EXISTS (SELECT 1 FROM portions p WHERE p.upload = u.id)
      LIMIT :limit);
