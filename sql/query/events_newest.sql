-- Never falls, also when the newest events were deleted.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);
