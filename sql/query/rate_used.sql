-- in: owner text, what text, window int
-- value: used int
SELECT used FROM rates WHERE owner = :owner AND what = :what AND window = :window;
