SELECT count(*) FROM runners WHERE seen_until > :now;
