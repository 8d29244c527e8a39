-- All that follows from the creation of these tasks, which task_create_batch made in this transaction.
-- in: first int, last int
INSERT INTO batches VALUES (:first, :last);
