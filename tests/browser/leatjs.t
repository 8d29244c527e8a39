# leat.js: what it makes of the bytes of a stream, of a server that misbehaves, and, in Chromium, of the real one behind a
# proxy that cuts connections or holds streams back.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Leat;
use NodeTest;
use Test::More;

my $here  = abs_path(dirname(__FILE__));
my $build = $ENV{BUILD} || 'build';
$build = "$here/../../$build" unless $build =~ m{^/};

# One whose streams last and whose long polls do not, one whose streams end all the time. The log has a line for each
# request.
my $conf = <<'CONF';
[auth]
anonymous_scope = create,read,publish
[runner]
workers = 12
[stream]
retry_ms = 100
[log]
level = debug
CONF
my %server = (
    CALM     => Leat->start(conf => "$conf\[stream]\nheartbeat = 1\n[http]\nwait_seconds_max = 2\n"),
    RESTLESS => Leat->start(conf => "$conf\[stream]\nstream_seconds = 1\n"),
);
for my $l (values %server) {
    # as many events and pauses as its input says
    $l->job(tell => <<'JOB');
#!/bin/sh
read -r count pause
i=0
while [ $i -lt "$count" ]; do
    i=$((i + 1))
    echo "{\"type\":\"tell.it\",\"payload\":{\"n\":$i}}" >&3
    [ "$pause" = 0 ] || sleep "$pause"
done
echo "told $count"
JOB
    # the same, without a process for each pause
    $l->job(beat => <<'JOB');
#!/usr/bin/perl
my ($count, $pause) = split ' ', <STDIN>;
open my $events, '>&=', 3 or die;
for my $n (1 .. $count) {
    syswrite $events, qq({"type":"tell.it","payload":{"n":$n}}\n);
    select undef, undef, undef, $pause;
}
JOB
    # tells one thing, then one more once the file is there that its input names
    $l->job(gated => <<'JOB');
#!/bin/sh
read -r gate
echo '{"type":"tell.it","payload":{"n":1}}' >&3
while [ ! -e "$gate" ]; do sleep 0.02; done
echo '{"type":"tell.it","payload":{"n":2}}' >&3
echo through
JOB
}

my %environment = (NODE_MODULES => "$build/npm/node_modules", TZ => 'UTC', LEAT => "$build/leat");
for my $name (keys %server) {
    my $l = $server{$name};
    $environment{"${name}_URL"}   = $l->url;
    $environment{"${name}_DIR"}   = $l->{dir};
    $environment{"${name}_TOKEN"} = $l->leat(qw(token add --owner alice --scope), 'create,read,publish')->{out};
}

node_test("$here/$_", $server{CALM}{dir}, %environment) for qw(parser.mjs misbehaving.mjs);
if (-d "$environment{NODE_MODULES}/playwright-core") {
    node_test("$here/tabs.mjs", $server{CALM}{dir}, %environment);
}
else {
    fail "playwright-core is in $environment{NODE_MODULES}: `make clients` installs it, and needs npm's registry";
}

$_->stop for values %server;
done_testing;
