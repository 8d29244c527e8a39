-- The gauges of a process that is gone.
DELETE FROM figures WHERE process = :process;
