-- in: process int
DELETE FROM processes WHERE id = :process;
