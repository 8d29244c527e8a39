# shellcheck shell=bash disable=SC2154  # a part of nginx/dev/run, whose variables these are
# What nginx serves: nginx/*.conf with the paths, the prefix and the times of the settings.
write_site() {
    local user='' piece dropped
    [ "$(id -u)" != 0 ] || user='user root;'
    dropped='/# with PAGES/,/^        }/d'
    if [ -n "$PAGES" ]; then
        dropped='/# without PAGES/,/^        }/d; /# without a page/,/^        }/d'
    elif [ -z "$prefix" ]; then
        dropped="$dropped; /# without PAGES, and/,/^        }/d"
    else
        dropped="$dropped; /# without a page/,/^        }/d"
    fi
    # the front page may be a path of [routes]
    ! grep -qxF '^/$' <<<"$paths" || dropped="$dropped; /# without a page/,/^        }/d"
    sed "$dropped; s|@STATE@|$STATE|g; s|@PORT@|$PORT|g; s|@USER@|$user|; s|@PAGES@|$PAGES|; s|@HTML@|$html|" \
        "$here/nginx.conf" >"$site/nginx.conf"
    for piece in leat.conf leat-pass.conf leat-stream.conf leat-upstream.conf pages.conf problems.conf; do
        sed "s|/run/leat/|$STATE/|g; s|/var/lib/leat/files|$files|g; s|^location ^~ /api/ {|location ^~ $prefix/ {|
            s#\"^/api/(#\"^${prefix//./\\\\.}/(#
            s|^\(fastcgi_[a-z]*_timeout\) .*|\1 ${patience}s;|; s|^client_max_body_size .*|client_max_body_size ${megabytes}m;|" \
            "$top/nginx/$piece" >"$site/$piece"
    done
    printf '%s' "$paths" | sed 's|.*|location ~ "&" {\n    include leat-pass.conf;\n}|' >"$site/leat-routes.conf"
}
