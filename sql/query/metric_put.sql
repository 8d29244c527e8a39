-- Sums are added to, gauges of one process replaced.
-- in: name text, labels text, le int, process int, value int
INSERT INTO figures (name, labels, le, process, value)
VALUES (:name, :labels, :le, :process, :value)
    ON CONFLICT DO UPDATE SET value = iif(process = 0, value + excluded.value, excluded.value);
