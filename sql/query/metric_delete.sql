-- The gauges of a process that is gone.
-- in: process int
DELETE FROM figures WHERE process = :process;
