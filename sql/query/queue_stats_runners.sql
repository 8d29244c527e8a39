-- in: now int
-- value: runners int
SELECT count(*) AS runners FROM runners WHERE seen_until > :now;
