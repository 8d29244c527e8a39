# The recipe nginx/recipes/generate, in Chromium, behind nginx and behind Apache.
use strict;
use warnings;
use Recipe;

# its streams end far sooner than they would, so that a test sees many of them
Recipe::test('generate.mjs',
    GENERATE => Recipe::start('generate', conf => "[stream]\nstream_seconds = 1.5\nretry_ms = 100\n", env => {SERVER => $_}))
    for qw(nginx apache);
Test::More::done_testing();
