#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V4_OFFSET = 12 /* of a mapped address */ };

static const unsigned char mapped[V4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const char local[] = "unix:";

static bool is_v4(const struct address *a)
{
    return !memcmp(a->bytes, mapped, sizeof mapped);
}

/* Takes brackets and port off an address. False: something else stands behind it. */
static bool strip_port(const char **text, size_t *len)
{
    const char *p = *text, *end = p + *len;
    const char *port = memchr(p, ':', *len);
    if (*len && *p == '[') {
        const char *close = memchr(p, ']', *len);
        if (!close) return false;
        *text = p + 1;
        *len = (size_t)(close - p) - 1;
        port = close + 1;
        if (port < end && *port != ':') return false;
    } else {
        if (!port || memchr(port + 1, ':', (size_t)(end - port) - 1)) return true;
        *len = (size_t)(port - p);
    }
    while (++port < end)
        if (*port < '0' || *port > '9') return false;
    return true;
}

/* Reads an address alone. */
static bool parse_bare(const char *text, size_t len, struct address *out)
{
    char copy[INET6_ADDRSTRLEN];
    *out = (struct address){0};
    if (len >= sizeof copy || memchr(text, '\0', len)) return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    memcpy(out->bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, out->bytes + V4_OFFSET) == 1 ||
           inet_pton(AF_INET6, copy, out->bytes) == 1;
}

bool address_parse(const char *text, size_t len, struct address *out)
{
    if (len >= sizeof local - 1 && !memcmp(text, local, sizeof local - 1)) {
        *out = (struct address){.local = true};
        return true;
    }
    return strip_port(&text, &len) && parse_bare(text, len, out);
}

void address_format(const struct address *a, char to[ADDRESS_TEXT_SIZE])
{
    if (a->local)
        snprintf(to, ADDRESS_TEXT_SIZE, "%s", local);
    else if (is_v4(a))
        inet_ntop(AF_INET, a->bytes + V4_OFFSET, to, ADDRESS_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, a->bytes, to, ADDRESS_TEXT_SIZE);
}

/* A whole number of at most three digits, up to `most`. */
static bool parse_bits(const char *text, size_t len, unsigned most, unsigned *out)
{
    if (!len || len > 3) return false;
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *out = *out * 10 + (unsigned)(text[i] - '0');
    }
    return *out <= most;
}

bool network_parse(const char *text, size_t len, struct network *out)
{
    *out = (struct network){.bits = 128};
    if (len == sizeof local - 1 && !memcmp(text, local, len)) {
        out->address.local = true;
        return true;
    }
    const char *slash = memchr(text, '/', len);
    size_t bare = slash ? (size_t)(slash - text) : len;
    if (!parse_bare(text, bare, &out->address)) return false;
    if (!slash) return true;
    unsigned before = memchr(text, ':', bare) ? 0 : 8 * V4_OFFSET; /* a dotted one counts its own */
    if (!parse_bits(slash + 1, len - bare - 1, 128 - before, &out->bits)) return false;
    out->bits += before;
    return true;
}

bool network_holds(const struct network *n, const struct address *a)
{
    if (n->address.local || a->local) return n->address.local && a->local;
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->address.bytes, a->bytes, whole) != 0) return false;
    unsigned differ = rest ? (unsigned)(n->address.bytes[whole] ^ a->bytes[whole]) : 0;
    return !(differ >> (8 - rest));
}
