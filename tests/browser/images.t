# The recipe nginx/recipes/images, in Chromium, behind nginx and behind Apache.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Recipe;

my $build = $ENV{BUILD} || 'build';
$build = abs_path(dirname(__FILE__) . "/../..") . "/$build" unless $build =~ m{^/};

for my $server (qw(nginx apache)) {
    my $l = Recipe::start('images', conf => "[stream]\nheartbeat = 0.5\nretry_ms = 200\nstream_seconds = 4\n[runner]\nlease_seconds = 2\n", env => {SERVER => $server});
    $l->job(quick => "#!/bin/sh\n:\n");
    $l->job(gated => "#!/bin/sh\nread -r gate\nwhile [ ! -e \"\$gate\" ]; do sleep 0.02; done\n");
    Recipe::test('images.mjs', IMAGES => $l, LEAT => "$build/leat");
}
Test::More::done_testing();
