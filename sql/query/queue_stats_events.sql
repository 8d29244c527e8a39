-- How many events the log holds.
-- value: events int
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)
     - coalesce((SELECT value FROM figures
                  WHERE name = 'log_deleted' AND labels = '' AND le = 0 AND process = 0), 0) AS events;
