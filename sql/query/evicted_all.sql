-- value: seq int
SELECT coalesce(max(evicted_seq), 0) AS seq FROM owners;
