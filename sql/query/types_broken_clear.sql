-- in: runner int
DELETE FROM broken_types WHERE runner = :runner;
