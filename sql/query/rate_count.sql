-- in: owner text, what text, window int, more int
-- value: used int
INSERT INTO rates (owner, what, window, used) VALUES (:owner, :what, :window, :more)
    ON CONFLICT (owner, what) DO UPDATE
       SET used = iif(rates.window = excluded.window, used + excluded.used, excluded.used), window = excluded.window
RETURNING used;
