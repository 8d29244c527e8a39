-- in: owner text, what text, window int
-- value: used int
INSERT INTO rates (owner, what, window, used) VALUES (:owner, :what, :window, 1)
    ON CONFLICT (owner, what) DO UPDATE
       SET used = iif(rates.window = excluded.window, used + 1, 1), window = excluded.window
RETURNING used;
