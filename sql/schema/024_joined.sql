-- What a key was answered with is answered again: also that its task was there already (`unique`).

ALTER TABLE idempotency ADD COLUMN joined INTEGER NOT NULL DEFAULT 0 CHECK (joined IN (0, 1));
