#include "cli/servers.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name; /* that Server begins with; "": any other */
    const char *mend[SERVER_FAULTS];
} servers[] = {
    {"nginx",
     {
         [FAULT_NOT_FOUND] = "include Leat's location in the server block: nginx/leat.conf",
         [FAULT_BUFFERS] =
             ("fastcgi_buffering off; in Leat's location (proxy_buffering off; where nginx "
              "stands before another server), and no fastcgi_ignore_headers or "
              "proxy_ignore_headers X-Accel-Buffering"),
         [FAULT_COMPRESSES] =
             "gzip off; in Leat's location, or gzip_types without text/event-stream",
         [FAULT_AUTHORIZATION] =
             ("fastcgi_param HTTP_AUTHORIZATION $http_authorization; in Leat's location, and no "
              "proxy_set_header Authorization \"\" before it"),
         [FAULT_HEADERS] =
             ("fastcgi_pass_request_headers on; (proxy_pass_request_headers on;), and no "
              "fastcgi_param or proxy_set_header that empties this one"),
         [FAULT_BODY] = "client_max_body_size 80m; in Leat's location",
         [FAULT_TIMEOUT] = "fastcgi_read_timeout 75s; (proxy_read_timeout 75s;) in Leat's location",
         [FAULT_REDIRECTS] =
             ("no return 301 or rewrite for Leat's location; for the address itself "
              "give the one that it leads to"),
         [FAULT_PROCESSES] = "more worker_connections, and more processes of leat.fcgi",
     }},
    {"Apache",
     {
         [FAULT_NOT_FOUND] =
             "ProxyPass of Leat's path to its socket, or its .htaccess: nginx/README.md",
         [FAULT_BUFFERS] =
             ("flushpackets=on at ProxyPass (mod_proxy_fcgi); FcgidOutputBufferSize 0 "
              "(mod_fcgid)"),
         [FAULT_COMPRESSES] = ("SetEnv no-gzip 1 for Leat's path, or AddOutputFilterByType DEFLATE "
                               "without text/event-stream"),
         [FAULT_AUTHORIZATION] = "CGIPassAuth On for Leat's path",
         [FAULT_HEADERS] = "no RequestHeader unset of this one",
         [FAULT_BODY] =
             "LimitRequestBody 0 for Leat's path; FcgidMaxRequestLen 83886080 (mod_fcgid)",
         [FAULT_TIMEOUT] =
             ("timeout=75 at ProxyPass, or ProxyTimeout 75; FcgidIOTimeout 75 (mod_fcgid); "
              "Timeout 75"),
         [FAULT_REDIRECTS] =
             ("no Redirect or RewriteRule for Leat's path; for the address itself give "
              "the one that it leads to"),
         [FAULT_PROCESSES] = "more MaxRequestWorkers; FcgidMaxProcesses (mod_fcgid)",
     }},
    {"lighttpd",
     {
         [FAULT_NOT_FOUND] = "fastcgi.server for Leat's path: nginx/README.md",
         [FAULT_BUFFERS] = "server.stream-response-body = 1",
         [FAULT_COMPRESSES] = "deflate.mimetypes without text/event-stream",
         [FAULT_AUTHORIZATION] = "no setenv.set-request-header that empties Authorization",
         [FAULT_HEADERS] = "no setenv.set-request-header that empties this one",
         [FAULT_BODY] = "server.max-request-size = 81920",
         [FAULT_TIMEOUT] =
             "\"read-timeout\" => 75 in fastcgi.server, and server.max-write-idle = 360",
         [FAULT_REDIRECTS] =
             ("no url.redirect for Leat's path; for the address itself give the one that "
              "it leads to"),
         [FAULT_PROCESSES] = "more server.max-connections",
     }},
    {"",
     {
         [FAULT_NOT_FOUND] = "have the web server pass Leat's path to leat.fcgi: nginx/README.md",
         [FAULT_BUFFERS] =
             ("turn off buffering of answers for text/event-stream in whatever stands "
              "before Leat"),
         [FAULT_COMPRESSES] = "turn off compression of text/event-stream",
         [FAULT_AUTHORIZATION] = "have the header field Authorization passed on",
         [FAULT_HEADERS] = "have all header fields of requests passed on",
         [FAULT_BODY] = "allow request bodies of 80 MB for Leat's path",
         [FAULT_TIMEOUT] = "allow answers to be silent for 75 s",
         [FAULT_REDIRECTS] = "give the address that it leads to",
         [FAULT_PROCESSES] = "allow more connections at a time",
     }},
};

const char *server_mend(const char *server, enum server_fault fault)
{
    size_t i = 0, last = sizeof servers / sizeof *servers - 1;
    for (; i < last; i++)
        if (server && !strncasecmp(server, servers[i].name, strlen(servers[i].name))) break;
    return servers[i].mend[fault];
}
