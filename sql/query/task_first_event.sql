SELECT coalesce(min(seq), 0) FROM events WHERE task = :task;
