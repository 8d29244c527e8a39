-- Changes when another connection has committed.
-- value: data_version int
PRAGMA data_version;
