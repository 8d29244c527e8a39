#!/usr/bin/perl
# The same leat.fcgi behind each web server: what a site needs of the way between, whichever it is. (The rest of
# tests/web is for every server too: SERVER=apache.)
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Leat;
use Test::More;
use Time::HiRes qw(time);

# Who starts leat.fcgi: a process there holds one stream.
my %own = map { $_ => 1 } qw(apache-fcgid apache-cgi);
my @servers = $ENV{SERVER} ? $ENV{SERVER} : qw(apache apache-fcgid apache-cgi lighttpd);

sub behind {
    my ($server) = @_;
    my $l = Leat->start(server => $server, conf => <<'CONF');
[auth]
anonymous =
token_cookie = sesam
[stream]
heartbeat = 1
CONF
    my $gate = "$l->{dir}/gate";
    $l->job(waits => "#!/bin/sh\necho 10 one >&3\nwhile [ ! -e $gate ]; do sleep 0.02; done\necho 20 two >&3\n");
    $l->job(count => "#!/bin/sh\nexec wc -c\n");
    $l->job(makes => "#!/bin/sh\nprintf abcdef >\$LEAT_FILES/a.txt\n");
    my $token = $l->leat(qw(token add --owner alice --scope), 'create,read,publish')->{out};
    my @as    = (Authorization => "Bearer $token");
    my $ask   = sub {
        my ($method, $path, %opt) = @_;
        return $l->http($method => $path, %opt, headers => [@as, @{ $opt{headers} || [] }]);
    };
    my $make = sub { $ask->(POST => '/api/tasks', json => {@_})->json->{task_id} };

    is $l->http(GET => '/api/tasks')->status, 401, 'who shows nothing is nobody';
    is $ask->(GET => '/api/tasks')->status, 200, 'Authorization arrives';
    is $l->http(GET => '/api/tasks', headers => {Cookie => "sesam=$token"})->status, 200, 'so does a cookie';

    # ---- paths and bodies

    for my $name ('a b', 'a+b', 'a&b?c', "\xc3\xbc", 'a%41', 'a//b') {
        my $path = join '', map { /[\w]/ ? $_ : sprintf '%%%02X', ord } split //, $name;
        my $r = $ask->(GET => "/api/groups/-/events?last_event_id=now&group=$path", headers => [Accept => 'application/json']);
        is $r->status, 200, "a query with $name";
        next if $name =~ m{/} && $server eq 'apache-cgi';    # AllowEncodedSlashes is no matter for .htaccess
        is eval { $ask->(GET => "/api/groups/$path")->json->{id} }, eval { Leat::decode("\"$name\"") }, "a path with $name";
    }
    is $ask->(GET => $_)->status, 200, $_ for '/api//tasks', '/api/./tasks', '/api/t%61sks', '/api/tasks/';
    is $ask->(GET => $_)->status, 400, $_ for '/api/tasks/%0a', '/api/tasks/%2e%2e/x';
    is $ask->(GET => "/api/tasks?page_size=5&nothing=" . 'x' x 20_000)->status, 200, 'a query of 20 KB' unless $server eq 'apache-cgi';

    my $r = $ask->(POST => '/api/tasks?type=count', body => 'x' x 3_000_000, headers => [Prefer => 'wait=20']);
    is $r->json->{task}{result}, 3_000_000, 'three megabytes arrive';
    $r = $ask->(POST => '/api/tasks?type=count', body => 'x' x 300_000, headers => [Prefer => 'wait=20', 'Transfer-Encoding' => 'chunked']);
    is $r->json->{task}{result}, 300_000, '... and what has no length';
    $r = $ask->(POST => '/api/tasks', body => '"' . 'x' x 1_100_000 . '"', headers => ['Content-Type' => 'application/json']);
    is $r->status . ' ' . $r->json->{code}, '413 body_too_large', 'too much is refused by Leat';
    $r = $ask->(PUT => '/api/groups/g/context', json => {a => 1});
    is $r->status . ' ' . $r->header('ETag'), '200 "1"', 'PUT';
    is $ask->(PUT => '/api/groups/g/context', json => {a => 2}, headers => ['If-Match' => '"7"'])->status, 412, 'If-Match';
    is $ask->(GET => '/api/groups/g/context', headers => ['If-None-Match' => '"1"'])->status, 304, 'If-None-Match';
    is $ask->(DELETE => '/api/tasks/nothing')->status, 404, 'DELETE';
    $r = $l->http(HEAD => '/api/health');
    is $r->status . ' ' . $r->header('Content-Type'), '200 application/json', 'HEAD';

    # ---- streams

    my $id = $make->(type => 'waits', group => 'g');
    my $s  = $l->stream("/api/tasks/$id/events", headers => {@as, 'Accept-Encoding' => 'gzip, br'});
    is $s->header('Content-Encoding'), undef, 'a stream is not compressed';
    my $one = $s->next_event(10, 'task.progress');
    is $one->{json}{payload}{message}, 'one', 'an event comes while the job runs';
    ok wait_until { my $f = $s->next_frame(5); defined $f->{comment} } 10;
    Leat::write_file($gate, '');
    is $s->next_event(10, 'task.progress')->{json}{payload}{message}, 'two', 'so does the next';
    is(($s->rest(10))[-1]{json}{payload}{reason}, 'finished', 'it ends by itself');
    ok !$s->broken, '... and is whole';
    $s = $l->stream("/api/tasks/$id/events", headers => {@as, 'Last-Event-ID' => $one->{id}});
    is $s->next_event(5)->{json}{payload}{message}, 'resumed', 'Last-Event-ID arrives';
    is $s->next_event(5, 'task.progress')->{json}{payload}{message}, 'two', '... and counts';
    $s->rest(5);
    unlink $gate;

    # one that leaves is noticed at a heartbeat
    $s = $l->stream('/api/groups/g/events', headers => {@as});
    $s->next_event(5, 'stream.connected');
    $s->close;
    my $left = wait_until { $l->log =~ /stream_close.*scope=group.*reason=gone/ } 20;
    ok $left || $server eq 'apache-cgi', 'a client that left is noticed';

    # as CGI it costs a process, which sleeps
    if ($server eq 'apache-cgi') {
        $s = $l->stream('/api/groups/idle/events', headers => {@as});
        $s->next_event(5, 'stream.connected');
        # that of the stream before may still be ending
        my (@processes, @woken);
        wait_until { @processes = $l->pids('web'); @processes == 1 } 20;
        for (0 .. 4) {
            ok wait_until { my $f = $s->next_frame(5); defined $f->{comment} } 10;
            push @woken, [time, Leat::slurp("/proc/$processes[0]/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m];
        }
        is_deeply [$l->pids('web')], [$processes[0]], 'an idle stream has one process';
        my ($took, $woke) = map { $woken[-1][$_] - $woken[0][$_] } 0, 1;
        cmp_ok $woke, '<=', 4 + $took + 1, '... that wakes for its heartbeats, and at most once a second besides';
        $s->close;
    }

    # HTTP/2
    SKIP: {
        skip 'nginx wants a port of its own for it', 1 if $server eq 'nginx';
        $id = $make->(type => 'waits');
        open my $curl, '-|', 'curl', '-sN', '--max-time', 20, '--http2-prior-knowledge', '-w', "\nversion %{http_version}\n",
            '-H', "Authorization: Bearer $token", $l->url . "/api/tasks/$id/events" or die;
        my $told = '';
        my $seen = wait_until { sysread $curl, $told, 65536, length $told if IO::Select->new($curl)->can_read(0.1); $told =~ /"one"/ } 10;
        ok $seen && $told !~ /stream\.end/, 'HTTP/2: an event comes while the job runs';
        Leat::write_file($gate, '');
        $told .= join '', readline $curl;
        like $told, qr/"finished".*\nversion 2$/s, '... and the end';
        close $curl;
        unlink $gate;
    }

    # ---- files

    my $made = $ask->(POST => '/api/tasks', json => {type => 'makes'}, headers => [Prefer => 'wait=20'])->json->{task};
    $r = $ask->(GET => $made->{files}[0]{url}, headers => [Range => 'bytes=2-3']);
    # without a setting of the whole host nobody sends it for Leat
    is $r->status . ' ' . $r->body, $server eq 'apache-cgi' ? '200 abcdef' : '206 cd', 'a part of a file';
    like $r->header('Content-Type'), qr{^text/plain}, '... of its type';
    is $ask->(GET => '/leat-files/' . $made->{id} . '/a.txt')->status, 404, 'where they are sent from is nobody\'s path';

    # ---- nobody answers

    if (!$own{$server}) {
        my $socket = $l->state . '/leat.sock';
        rename $socket, "$socket.away" or die "rename: $!";
        for ([GET => '/api/tasks'], [POST => '/api/tasks', json => {type => 'count'}]) {
            $r = $ask->(@$_);
            is join(' ', $r->status, $r->json->{code} // '', $r->json->{retryable} // ''), '503 unavailable 1', "$_->[0]: nobody is there";
        }
        $s = $l->stream('/api/events', headers => {@as});
        # lighttpd cannot make a 200 of it
        my $said = $s->status == 200 ? $s->next_event(5)->{json}{payload}{reason} : $s->header('Content-Type');
        is $s->status . " $said", $server eq 'lighttpd' ? '503 application/problem+json' : '200 overloaded', '... to an EventSource';
        rename "$socket.away", $socket or die "rename: $!";
        ok wait_until { $ask->(GET => '/api/tasks')->status == 200 } 20;
    }
    my ($before) = $l->pids('server');
    kill KILL => $before;
    my $back = wait_until { my ($now) = $l->pids('server'); $now && $now != $before && $l->http(GET => '/api/health')->status == 200 } 20;
    ok $back, 'a web server that dies is started again';
    $l->stop;
}

for my $server (@servers) {
    subtest $server => sub {
        behind($server);
        done_testing;
    };
}
done_testing;
