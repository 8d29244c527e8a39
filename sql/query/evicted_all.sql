SELECT coalesce(max(evicted_seq), 0) FROM owners;
