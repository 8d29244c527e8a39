/* leat check: whether a site can work, and does. */
#include "cli/check.h"

#include "base/secret.h"
#include "cli/curl.h"
#include "task/access.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static int check(struct cli *cli, int argc, char **argv);

const struct command command_check = {
    .name = "check",
    .arguments = "[URL] [--token TOKEN] [--json]",
    .summary = "looks for what is wrong with a site, and says what mends it",
    .help = "  Without a URL: settings, permissions, database, disk, jobs of this machine.\n"
            "  Where all is well there, and [http] url says how the site is reached, that too.\n"
            "  With the URL of a site, such as https://www.example.org/: whatever stands between "
            "it and\n"
            "  its clients, by curl(1). Tasks of the built-in type leat-check are made, streamed, "
            "resumed\n"
            "  and waited for, and 3 MB are sent; it takes half a minute.\n"
            "\n"
            "  --token TOKEN  a bearer token with the scopes create and read; else as anybody\n"
            "\n"
            "  Exit status: 0, also where there are notes; 69 where there is a problem.\n",
    .run = check,
};

/* Whether whoever shows nothing may make tasks and read them. */
static bool anybody_may(const struct conf *conf)
{
    unsigned scopes = 0, needed = AUTH_CREATE | AUTH_READ;
    if (!conf_text(conf, CONF_AUTH_ANONYMOUS)) return false;
    scopes_parse(conf_text(conf, CONF_AUTH_ANONYMOUS_SCOPE), true, &scopes, NULL);
    return (scopes & needed) == needed;
}

/* This machine, and the site's own URL where the settings have it and a try can come to something. */
static int check_own(struct cli *cli, struct findings *f, const char *token)
{
    const char *url = conf_text(cli->conf, CONF_HTTP_URL);
    if (token && !url)
        return cli_fail(cli, EX_USAGE, "--token: only with a URL, or where [http] url is set");
    bool works = check_site(cli, f);
    if (!url) return EX_OK;
    if (!works)
        findings_add(f, FINDING_NOTE, "url", "mend the others first, or start a runner",
                     "%s was not tried", url);
    else if (!curl_there())
        findings_add(f, FINDING_NOTE, "url", "apt-get install curl",
                     "%s was not tried: curl(1) is needed", url);
    else if (!token && !anybody_may(cli->conf))
        findings_add(f, FINDING_NOTE, "url",
                     "--token TOKEN, with the scopes create and read: leat token add makes one",
                     "%s was not tried: it needs a token", url);
    else
        check_url(cli, f, url, token);
    return EX_OK;
}

static int check_given(struct cli *cli, struct findings *f, const char *url, const char *token)
{
    if (!curl_there())
        return cli_fail(cli, EX_UNAVAILABLE, "curl(1) is needed for this: apt-get install curl");
    check_url(cli, f, url, token);
    return EX_OK;
}

/* Takes the token out of the command line, which every user of the machine may read (proc(5)). NULL: there is none;
 * the caller frees. */
static char *take_token(const char *given)
{
    char *token = mem_str(given);
    if (given) secret_wipe((char *)given, strlen(given));
    return token;
}

static int check_with(struct cli *cli, struct findings *f, int argc, char **argv, const char *token)
{
    int status = EX_OK;
    if (argc > 1) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[1]);
    if (!status && argc && strncmp(argv[0], "http://", 7) != 0 &&
        strncmp(argv[0], "https://", 8) != 0)
        status =
            cli_fail(cli, EX_USAGE, "URL: '%s' does not begin with http:// or https://", argv[0]);
    if (!status && token && strpbrk(token, "\r\n"))
        status = cli_fail(cli, EX_USAGE, "--token: not a token");
    if (!status) status = cli_settings(cli);
    if (!status) status = argc ? check_given(cli, f, argv[0], token) : check_own(cli, f, token);
    if (status) return status;
    findings_end(f);
    status = cli_flush(cli);
    return status ? status : f->problems ? EX_UNAVAILABLE : EX_OK;
}

static int check(struct cli *cli, int argc, char **argv)
{
    const char *given = NULL;
    struct findings f = {.cli = cli};
    const struct cli_option options[] = {CLI_VALUE("token", &given), CLI_FLAG("json", &f.json)};
    int status = cli_options(cli, options, 2, &argc, argv);
    char *token = take_token(given);
    if (!status) status = check_with(cli, &f, argc, argv, token);
    if (token) secret_wipe(token, strlen(token));
    free(token);
    return status;
}
