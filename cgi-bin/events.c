/* leat-events: streams and everything else that waits. */
#include "site.h"

int main(int argc, char **argv)
{
    return site_main("leat-events", true, argc, argv);
}
