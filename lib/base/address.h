/* Internet addresses and networks as text: who is a proxy, and who asks behind one. */
#ifndef LEAT_BASE_ADDRESS_H
#define LEAT_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_TEXT_SIZE = 64 }; /* bytes of an address as text, with its NUL */

/* The peer of a connection. */
struct address {
    bool local;              /* it came by a socket of this machine that has no address ("unix:") */
    unsigned char bytes[16]; /* IPv6; an IPv4 address is mapped into it (RFC 4291, 2.5.5.2) */
};

struct network {
    struct address address;
    unsigned bits; /* of `bytes`, from the front, that count */
};

/* Reads `len` bytes: IPv4, IPv6 with or without brackets, or what begins with "unix:". A port behind an
 * IPv4 address or a bracket is passed over. False: it is none of these. */
bool address_parse(const char *text, size_t len, struct address *out);

/* Writes the usual form: dotted, RFC 5952, or "unix:". */
void address_format(const struct address *a, char to[ADDRESS_TEXT_SIZE]);

/* Reads `len` bytes: ADDRESS, ADDRESS/BITS or "unix:". False: it is none of these. */
bool network_parse(const char *text, size_t len, struct network *out);

bool network_holds(const struct network *n, const struct address *a);

#endif
