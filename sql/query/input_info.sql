SELECT content_type, length(body) FROM inputs WHERE task = :task;
