SELECT json FROM checkpoints WHERE task = :task;
