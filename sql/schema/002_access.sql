-- Who may ask, what was asked before, and which tasks wait for each other.

-- Bearer tokens and tickets, by the SHA-256 of what the client holds: the database knows no secret.
CREATE TABLE credentials (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    hash         BLOB NOT NULL UNIQUE,
    kind         TEXT NOT NULL CHECK (kind IN ('token', 'ticket')),
    owner        TEXT NOT NULL,
    scopes       TEXT NOT NULL,     -- "create,read,publish,admin"
    name         TEXT,              -- of a token, for people
    subject_kind TEXT,              -- of a ticket: task, group, all or run
    subject      TEXT,              -- task id, group name or job type; NULL for all
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,           -- NULL: never
    revoked_at   INTEGER            -- NULL: not
) STRICT;

CREATE INDEX credentials_by_expiry ON credentials (expires_at) WHERE kind = 'ticket';

-- Idempotency-Key: the first request with a key made the task; the same request gets it again.
CREATE TABLE idempotency (
    owner       TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,      -- SHA-256 of all that makes the request what it is
    task        INTEGER NOT NULL,   -- tasks.n
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- What an owner has used in the current window of a limit.
CREATE TABLE rates (
    owner  TEXT NOT NULL,
    what   TEXT NOT NULL,
    window INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    PRIMARY KEY (owner, what)
) STRICT, WITHOUT ROWID;

CREATE INDEX groups_by_change ON groups (owner, updated_at, name);
CREATE INDEX groups_by_change_all ON groups (updated_at, owner, name);

-- `serialize = group` in TYPE.conf: such tasks of one group run one at a time, in order.
ALTER TABLE tasks ADD COLUMN serialize INTEGER NOT NULL DEFAULT 0;

CREATE INDEX tasks_in_turn ON tasks (owner, group_id) WHERE status = 'pending' AND serialize = 1;

-- Pending tasks that need not wait for another of their group.
CREATE VIEW runnable AS
SELECT t.n, t.owner, t.priority, t.run_at FROM tasks t
 WHERE t.status = 'pending'
   AND NOT (t.serialize = 1 AND t.group_id IS NOT NULL
       AND (EXISTS (SELECT 1 FROM tasks b WHERE b.status = 'running' AND b.serialize = 1
                       AND b.owner = t.owner AND b.group_id = t.group_id)
         OR EXISTS (SELECT 1 FROM tasks b WHERE b.status = 'pending' AND b.serialize = 1
                       AND b.owner = t.owner AND b.group_id = t.group_id AND b.n < t.n)));
