-- in: owner text
-- value: seq int
SELECT coalesce((SELECT evicted_seq FROM owners WHERE name = :owner), 0) AS seq;
