SELECT coalesce((SELECT evicted_seq FROM owners WHERE name = :owner), 0);
