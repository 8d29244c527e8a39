SELECT name, labels, le, process, value FROM figures ORDER BY name, labels, le, process;
