/* Web servers and what to write into their configuration, by what is wrong. */
#ifndef LEAT_CLI_SERVERS_H
#define LEAT_CLI_SERVERS_H

enum server_fault {
    FAULT_NOT_FOUND,
    FAULT_BUFFERS,
    FAULT_COMPRESSES,
    FAULT_AUTHORIZATION,
    FAULT_HEADERS, /* other header fields are taken out of requests */
    FAULT_BODY,
    FAULT_TIMEOUT,
    FAULT_REDIRECTS,
    FAULT_PROCESSES, /* streams wait for each other */
    SERVER_FAULTS
};

/* What mends a fault at the server that calls itself so (the value of the header field Server; NULL: it does not
 * say). Static. */
const char *server_mend(const char *server, enum server_fault fault);

#endif
