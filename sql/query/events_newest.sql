-- Never falls, also when the newest events were deleted.
-- value: seq int
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) AS seq;
