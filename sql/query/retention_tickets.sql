-- in: before int, limit int
-- gives: changed
DELETE FROM credentials WHERE id IN
    (SELECT id FROM credentials WHERE kind = 'ticket' AND expires_at <= :before
      ORDER BY expires_at LIMIT :limit);
