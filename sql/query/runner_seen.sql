UPDATE runners SET seen_until = :seen_until WHERE id = :runner;
