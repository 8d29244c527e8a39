-- What was used in windows that have passed.
-- in: before int, limit int
-- gives: changed
DELETE FROM rates WHERE (owner, what) IN
    (SELECT owner, what FROM rates WHERE window < :before LIMIT :limit);
