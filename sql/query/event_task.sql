SELECT coalesce(task, 0) FROM events WHERE seq = :seq;
