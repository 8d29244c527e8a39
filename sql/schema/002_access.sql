-- Who may ask, and what was asked before.

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
