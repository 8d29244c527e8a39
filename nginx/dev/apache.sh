# shellcheck shell=bash disable=SC2153,SC2154  # a part of nginx/dev/run, whose variables these are
# What Apache serves: nginx/apache/* with the paths, the prefix and the times of the settings.

# Apache does not answer as root. Started by root it is www-data, which may reach what we can: the pages, the socket,
# and the database where it starts leat.fcgi.
write_start() {
    local command="apache2 -f '$site/apache.conf' -D FOREGROUND"
    [ "$(id -u)" != 0 ] || command="setpriv --reuid www-data --regid 0 --clear-groups --inh-caps +dac_override \\
    --ambient-caps +dac_override --pdeathsig TERM $command"
    echo "exec $command" >"$site/start"
}

# Starts leat.fcgi from a folder of Apache's; it gets what is set in our environment.
write_program() {
    local name value
    mkdir -p "$site/cgi-bin"
    install -m 755 "$BUILD/leat.fcgi" "$BUILD/leatd" "$site/cgi-bin/"
    chmod 755 "$site/cgi-bin"
    case $SERVER in
    apache-cgi)
        # leat.fcgi looks for LEAT_CONF, wherever the site has it
        sed "s|%{DOCUMENT_ROOT}/../leat|$STATE|" "$top/nginx/host/htaccess" >"$site/cgi-bin/.htaccess"
        for name in ${!LEAT_*}; do echo "PassEnv $name"; done >>"$site/apache.conf"
        ;;
    apache-fcgid)
        # without a value it would be empty
        for name in ${!LEAT_*}; do
            value=${!name//\\/\\\\}
            printf 'FcgidInitialEnv %s "%s"\n' "$name" "${value//\"/\\\"}"
        done >>"$site/apache.conf"
        ;;
    esac
}

# What is passed besides the prefix.
write_routes() {
    local path
    while read -r path; do
        [ -n "$path" ] || continue
        case $SERVER in
        apache) printf '<LocationMatch "%s">\n    Include "%s/leat-pass.conf"\n</LocationMatch>\n' "$path" "$site" ;;
        apache-fcgid) printf '<LocationMatch "%s">\n    Include "%s/leat-fcgid-pass.conf"\n</LocationMatch>\n' "$path" "$site" ;;
        apache-cgi) printf 'AliasMatch "%s" "%s/cgi-bin/leat.fcgi"\n' "$path" "$site" ;;
        esac
    done <<<"$paths" >"$site/leat-routes.conf"
}

# Drops the parts of apache.conf that are for other cases: each goes on to the next line that begins with "# ".
dropped_parts() {
    local server
    for server in apache apache-fcgid apache-cgi; do
        [ "$server" = "$SERVER" ] || printf '/^# of %s\\( \\|:\\|$\\)/,/^# of/{/^[^#]/d};' "$server"
    done
    if [ -n "$PAGES" ]; then
        printf '/^# without PAGES/,/^# with PAGES/{/^[^#]/d};'
    else
        printf '/^# with PAGES/,/^# in any/{/^[^#]/d};'
    fi
    # the front page may be a path of [routes]
    if [ -n "$PAGES" ] || [ -n "$prefix" ] || grep -qxF '^/$' <<<"$paths"; then
        printf '/^# without a page/,/^# with/{/^[^#]/d};'
    fi
}

write_site() {
    local piece modules=/usr/lib/apache2/modules location="<Location \"$prefix/\">"
    # with no prefix, what problems.conf needs is not for Leat
    [ -n "$prefix" ] || location='<LocationMatch "^/(?!$\|leat-problem/\|try.txt$)">'
    sed "$(dropped_parts) s|@STATE@|$STATE|g; s|@PORT@|$PORT|g; s|@PAGES@|$PAGES|; s|@HTML@|$html|; s|@MODULES@|$modules|
        s|@PREFIX@|${prefix:-/}|; s|@SLASH@|${prefix:+}|" "$here/apache.conf" >"$site/apache.conf"
    for piece in leat.conf leat-pass.conf leat-fcgid.conf leat-fcgid-pass.conf pages.conf problems.conf; do
        sed "s|/run/leat/|$STATE/|g; s|/usr/local/share/leat/apache|$site|g; s|/usr/local/lib/leat/cgi-bin|$site/cgi-bin|
            s|^<Location \"/api/\">|$location|; s|/etc/leat/leat.conf|$STATE/leat.conf|; s|/var/lib/leat/files|$files|
            s|\(timeout=\)[0-9]*|\1$patience|; s|^\(FcgidIOTimeout\) .*|\1 $patience|
            s/^\(LimitRequestBody\|FcgidMaxRequestLen\|.* -gt\) [1-9][0-9]*/\1 $((megabytes << 20))/
            s|\(LEAT_STREAM_STREAM_SECONDS\) .*|\1 $(setting stream stream_seconds 55)|
            s|\(LEAT_STREAM_CGI_STREAMS\) .*|\1 $(setting stream cgi_streams 32)|" \
            "$top/nginx/apache/$piece" >"$site/$piece"
    done
    [ -n "$prefix" ] || sed -i 's|^</Location>|</LocationMatch>|' "$site"/leat*.conf
    cp -R "$top/nginx/apache/problems" "$site/"
    write_routes
    [ "$SERVER" = apache ] || write_program
    write_start
}
