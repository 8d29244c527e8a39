-- A few at a time, beside the writes that make them.
-- in: before int
DELETE FROM credentials WHERE id IN
    (SELECT id FROM credentials WHERE kind = 'ticket' AND expires_at <= :before
      ORDER BY expires_at LIMIT 20);
