SELECT content_type, body FROM results WHERE task = :task;
