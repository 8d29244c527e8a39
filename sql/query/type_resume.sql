-- in: type text
DELETE FROM paused_types WHERE type = :type;
