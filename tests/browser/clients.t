# Clients that sites have: EventSource from npm and in Chromium, as published. What they see and what
# they ask for is checked by node's own tests beside this file; here are the servers for them.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Leat;
use NodeTest;
use Test::More;

my $top   = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{BUILD} || 'build';
$build = "$top/$build" unless $build =~ m{^/};

# Where the other origins of the browser's tests will listen.
my ($listed, $foreign) = map { Leat::free_port() } 1, 2;

# One whose streams last, so that every request can be told beforehand; one whose streams end all the
# time. The log has a line for each request.
my $conf = <<"CONF";
[http]
allowed_origins = http://localhost:$listed
[auth]
anonymous_scope = create,read,publish
[stream]
retry_ms = 100
heartbeat = 0.3
[log]
level = debug
CONF
my %server = (
    CALM     => Leat->start(conf => $conf),
    RESTLESS => Leat->start(conf => "$conf\[stream]\nstream_seconds = 0.5\n"),
);

for my $l (values %server) {
    # as many events and pauses as its input says
    $l->job(tell => <<'JOB', "get = yes\n");
#!/bin/sh
read -r count pause
i=0
while [ $i -lt "$count" ]; do
    i=$((i + 1))
    echo "{\"type\":\"tell.it\",\"payload\":{\"n\":$i}}" >&3
    sleep "$pause"
done
echo "told $count"
JOB
    # tells one thing, then one more once the file is there that its input names
    $l->job(gated => <<'JOB', "get = yes\n");
#!/bin/sh
read -r gate
echo '{"type":"tell.it","payload":{"n":1}}' >&3
while [ ! -e "$gate" ]; do sleep 0.02; done
echo '{"type":"tell.it","payload":{"n":2}}' >&3
echo through
JOB
}

my %environment = (
    NODE_MODULES => "$build/npm/node_modules",
    LISTED       => $listed,
    FOREIGN      => $foreign,
    TZ           => 'UTC',
);
for my $name (keys %server) {
    my $l = $server{$name};
    $environment{"${name}_URL"}   = $l->url;
    $environment{"${name}_DIR"}   = $l->{dir};
    $environment{"${name}_TOKEN"} = $l->leat(qw(token add --owner alice --scope), 'create,read')->{out};
}

my @missing = grep { !-d "$environment{NODE_MODULES}/$_" } qw(eventsource undici playwright-core);
if (@missing) {
    fail "the npm packages @missing are in $environment{NODE_MODULES}: `make clients` installs them, and needs npm's registry";
}
else {
    node_test("$top/tests/browser/$_", $server{CALM}{dir}, %environment) for qw(eventsource.mjs chromium.mjs);
}

$_->stop for values %server;
done_testing;
