SELECT EXISTS (SELECT 1 FROM runners WHERE seen_until > :now);
