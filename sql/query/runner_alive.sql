-- in: now int
-- value: alive bool
SELECT EXISTS (SELECT 1 FROM runners WHERE seen_until > :now) AS alive;
