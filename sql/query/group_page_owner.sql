-- An owner's groups, latest change first, from below (:before, :before_name).
-- in: owner text, before int, before_name text, limit int
-- rows: like group_page_all
SELECT owner, name, updated_at FROM groups
 WHERE owner = :owner AND (updated_at, name) < (:before, :before_name)
 ORDER BY updated_at DESC, name DESC LIMIT :limit;
