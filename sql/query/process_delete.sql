DELETE FROM processes WHERE id = :process;
