/* leat-api: short requests. */
#include "site.h"

int main(int argc, char **argv)
{
    return site_main("leat-api", false, argc, argv);
}
