# The recipe nginx/recipes/repository, in Chromium, behind nginx and behind Apache.
use strict;
use warnings;
use Recipe;

for my $server (qw(nginx apache)) {
    # tasks of other types go within two seconds: those of the recipe stay
    my $l = Recipe::start('repository', conf => "[stream]\nretry_ms = 200\nstream_seconds = 4\n[runner]\nretain_hours = 0.0005\n", env => {SERVER => $server});
    $l->job(passing => "#!/bin/sh\n:\n");
    Recipe::test('repository.mjs', REPOSITORY => $l);
}
Test::More::done_testing();
