SELECT coalesce(sum(pending), 0) FROM queues WHERE owner = :owner;
