#!/usr/bin/perl
# A stream holds little, in leat.fcgi and in nginx; and what nginx holds for the head of an answer is enough for the
# longest head that there can be: else it would say 502.
use strict;
use warnings;
use Leat;
use Test::More;

my ($WARM, $STREAMS) = (200, 1000);
my %BYTES = ('leat.fcgi' => 2500, nginx => 15500);    # a stream, at most

# ---- the memory of a stream ------------------------------------------------------------------------

{
    my $l  = Leat->start(processes => 1, conf => "[limits]\nstreams_per_owner = 0\n");
    my $id = $l->http(POST => '/api/tasks', json => {type => 'wordcount', delay => 600})->json->{task_id};
    my ($master) = $l->pids('server');
    my %pids = ('leat.fcgi' => [$l->pids('web')],
        nginx => [grep { Leat::slurp("/proc/$_/stat") =~ /\) \S+ $master / } map { m{(\d+)} } glob '/proc/[0-9]*']);
    my $bytes = sub {
        my $sum = 0;
        $sum += Leat::slurp("/proc/$_/smaps_rollup") =~ /^Pss:\s+(\d+)/m ? $1 * 1024 : die for @{ $pids{ $_[0] } };
        return $sum;
    };
    my @open = map { $l->stream("/api/tasks/$id/events") } 1 .. $WARM;
    my %before = map { $_ => $bytes->($_) } keys %BYTES;
    push @open, map { $l->stream("/api/tasks/$id/events") } 1 .. $STREAMS;
    is scalar(grep { $_->status == 200 } @open), $WARM + $STREAMS, 'all are open';
    ok $open[-1]->next_event(20, 'task.created'), '... and say what there is';
    my %each = map { $_ => int(($bytes->($_) - $before{$_}) / $STREAMS) } keys %BYTES;
    cmp_ok $each{$_}, '<=', $BYTES{$_}, "$_: $each{$_} bytes a stream" for sort keys %BYTES;
    cmp_ok $each{nginx}, '>', 1000, '... which were measured';
    $_->close for @open;
}

# ---- the longest heads -----------------------------------------------------------------------------

my $app = 'https://' . join('.', ('a' x 63) x 3, 'b' x 61) . ':65535';    # a name has 253 bytes at most
# a line of the settings is shorter than that
local $ENV{LEAT_HTTP_ALLOWED_ORIGINS} = $app;
my $l = Leat->start(conf => <<'CONF');
[limits]
streams_per_owner = 1
polls_per_minute = 1000000
CONF
$l->job(go => "#!/bin/sh\necho gone\n", "get = yes\n");
my $request_id = 'r' x 128;
my @long = ('X-Request-ID' => $request_id, Origin => $app);
my $done = $l->http(POST => '/api/tasks', json => {type => 'go', group => 'g'}, headers => [Prefer => 'wait=20'])->json->{task}{id};
my $id   = $l->http(POST => '/api/tasks', json => {type => 'wordcount', delay => 600, group => 'g'})->json->{task_id};

# Sends all that makes a head long, and expects the answer of Leat itself.
sub ask {
    my ($status, $method, $path, %opt) = @_;
    my $r = $l->http($method => "/api$path", %opt, headers => [@long, @{ $opt{headers} // [] }]);
    is $r->status, $status, join ' ', $method, $path, @{ $opt{headers} // [] };
    is $r->header('X-Request-ID'), $request_id, '... by Leat';
    is $r->header('Access-Control-Allow-Origin'), $app, '... and the page may read it' if $status != 403;
    return $r;
}

my @paths = ("/tasks/$id/events", "/tasks/$id/log", '/groups/g/events', '/events');
for my $path (@paths, '/run/go?input=x') {
    ask(204, OPTIONS => $path, headers => ['Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'x']);
    ask(204, OPTIONS => $path);
    ask(405, DELETE => $path);
    ask(401, GET => $path, headers => [Authorization => 'Bearer nothing']);
    ask(403, GET => $path, headers => [Origin => 'https://other.example']) if $path !~ /log$/;
}
for my $path (@paths) {
    ask(200, HEAD => $path);
    ask(400, GET => "$path?last_event_id=%ff");
    ask(422, GET => "$path?seconds=x");
}
ask(406, GET => '/run/go?input=x', headers => [Accept => 'application/json']);
ask(404, GET => "/tasks/00000000-0000-7000-8000-000000000000/events");
ask(204, GET => "/tasks/$done/events", headers => ['Last-Event-ID' => $l->http(GET => "/api/tasks/$done")->json->{cursor}]);
ask(410, GET => '/events', headers => [Accept => 'application/json', 'Last-Event-ID' => '00000000-5']);
for my $path ("/tasks/$done/events", "/groups/g/events?last_event_id=earliest", '/events?last_event_id=earliest') {
    ask(200, GET => $path, headers => [Accept => 'application/json', Prefer => 'wait=20']);
    ask(200, GET => $path, headers => [Accept => 'application/x-ndjson']);
}
ask(202, POST => '/groups/g/events', json => {type => 'x.y', payload => {}});
for my $path (@paths, '/run/go?input=y') {
    my $s;
    # once there is place: the one before it is over when leat.fcgi has noticed; what refuses an EventSource is a 200, too
    my $open = wait_until {
        $s->close if $s;
        $s = $l->stream("/api$path" . ($path =~ /log$/ ? '?follow=1' : ''), headers => {@long});
        $s->status == 200 && ($path =~ /log$/ || ($s->next_event(10)->{json}{payload}{reason} // '') ne 'overloaded')
    } 20;
    ok $open, "a stream of $path";
    is $s->header('X-Request-ID'), $request_id, '... by Leat';
    # there is place for one
    my $other = ask(429, GET => "/tasks/$id/log?follow=1") if $path eq '/events';
    is $other->header('RateLimit-Policy'), '"streams_per_owner";q=1', '... which one limits' if $other;
    $s->close;
}
done_testing;
