-- The newest first: what a reader still finds has no gap.
-- in: task int, limit int
-- gives: changed
DELETE FROM events WHERE seq IN
    (SELECT seq FROM events WHERE task = :task ORDER BY seq DESC LIMIT :limit);
