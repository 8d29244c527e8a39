-- rows: name text, labels text, le int, process int, value int
SELECT name, labels, le, process, value FROM figures ORDER BY name, labels, le, process;
