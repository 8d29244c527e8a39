-- The first of the :limit events up to :until that is not older than :ts, 0 when none is. Events stand in the order in
-- which they were committed, and a moment may lie between when one happened and that.
-- in: until int, ts int, limit int
-- value: seq int
SELECT coalesce(min(seq), 0) AS seq FROM
    (SELECT seq, ts FROM events WHERE seq <= :until ORDER BY seq DESC LIMIT :limit)
 WHERE ts >= :ts;
