-- The context that a job gave to the group of its task.
UPDATE groups SET context = json(:context), version = version + 1, updated_at = :now
 WHERE (owner, name) = (SELECT owner, group_id FROM tasks WHERE n = :n);
