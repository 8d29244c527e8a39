-- in: runner int, lease_until int
UPDATE tasks SET lease_until = :lease_until WHERE runner = :runner AND status = 'running';
