-- Types that a living runner holds to be broken, and what the first to find it says.
-- in: now int, limit int
-- rows: type text, why text, since int
SELECT x.type, x.why, min(x.since) AS since -- the other columns are those of the row with the minimum
  FROM broken_types x JOIN runners r ON r.id = x.runner
 WHERE r.seen_until > :now
 GROUP BY x.type ORDER BY x.type LIMIT :limit;
