-- in: runner int, seen_until int
-- gives: changed
UPDATE runners SET seen_until = :seen_until WHERE id = :runner;
