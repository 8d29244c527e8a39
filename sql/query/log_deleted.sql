-- Events that were ever deleted, as triggers count them: some go with other rows, which no statement counts.
-- value: deleted int
SELECT coalesce((SELECT value FROM figures
                  WHERE name = 'log_deleted' AND labels = '' AND le = 0 AND process = 0), 0) AS deleted;
