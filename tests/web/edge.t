# What the web server does by itself, it does as Leat would: it keeps no
# event back, tells other proxies so, and refuses in the same form.
use strict;
use warnings;
use JSON::PP ();
use Leat;
use Test::More;

my $l = Leat->start(conf => "[limits]\nstreams_per_owner = 10\n");
$l->job(count => "#!/bin/sh\nexec wc -c\n", "get = yes\n");
$l->job(says  => "#!/bin/sh\necho said >&2\nprintf abcdef >\"\$LEAT_FILES/photo.jpg\"\necho no stream >\"\$LEAT_FILES/events\"\n");
$l->job(waits => "#!/bin/sh\nwhile [ ! -e $l->{dir}/gate ]; do sleep 0.05; done\n");

my @sse  = (Accept => 'text/event-stream');
my $done = $l->http(POST => '/api/tasks', json => {type => 'says', group => 'a b'}, headers => {Prefer => 'wait=20'})->json->{task};
is $done->{status}, 'completed', 'a finished task';
my $id = $l->http(POST => '/api/tasks', json => {type => 'waits', group => 'a b'})->json->{task_id};
is $l->reaches($id, 'running')->{status}, 'running', 'and one that runs';

# ---- streams -------------------------------------------------------------------------------------

subtest 'a stream says to every proxy that it is none to keep back' => sub {
    for my $path ("/api/tasks/$id/events", '/api/groups/a%20b/events', '/api/events', '/api//events') {
        my $s = $l->stream($path);
        is $s->header('X-Accel-Buffering'), 'no', $path;
        is $s->next_event(10)->{json}{type}, 'stream.connected', '... and nothing is kept back';
    }
    my $log = $l->stream("/api/tasks/$done->{id}/log?follow=1", headers => {Accept => 'text/plain'});
    is $log->header('X-Accel-Buffering'), 'no', 'a log that follows';
    is $l->http(HEAD => '/api/events')->header('X-Accel-Buffering'), 'no', 'HEAD';
    my @open = map { $l->stream('/api/events') } 1 .. 10;
    my $more = $l->stream('/api//events');
    is $more->next_event(10)->{json}{payload}{reason}, 'overloaded', 'one too many';
    is $more->header('X-Accel-Buffering'), 'no', '... says so too';
    $_->close for @open;

    is $l->http(GET => "/api/tasks/$done->{id}$_")->header('X-Accel-Buffering'), undef, "not GET $_" for '', '/result', '/log';
};

# The paths that mean the same.
my %same = (
    '/api/events'              => ['/api/events/', '/api//events', '/api/%65vents', '/api/./events', '//api/events', '/%61pi/events?x=/events'],
    "/api/tasks/$id/events"    => ["/api/tasks/$id/events/", "/api/tasks/$id/%65vents", "/api//tasks/$id//events"],
    '/api/groups/a%20b/events' => ['/api/groups/a%20b/events/', '/api/groups/a%20b/%65%76ents', '/api/groups//a%20%62/events'],
);

subtest 'a stream is found however its path is written' => sub {
    for my $path (sort keys %same) {
        my $first = $l->stream($path)->next_event(10)->{json};
        for my $other (@{ $same{$path} }) {
            my $s = $l->stream($other);
            is $s->status . ' ' . $s->header('Content-Type'), '200 text/event-stream; charset=utf-8', $other;
            like $s->next_frame(10)->{raw}, qr/^retry: \d+$/, '... begins as it should';
            my $event = $s->next_event(10)->{json};
            is_deeply [@$event{qw(type task_id)}], [@$first{qw(type task_id)}], '... is the same stream';
        }
    }
    # a name that needs its encoding arrives as it is
    my $odd = $l->stream('/api/groups/a%3Fb%2541%20%26c//events')->next_event(10)->{json};
    is $odd->{payload}{snapshot}{id}, 'a?b%41 &c', 'a group with an odd name';

    for my $path (map { @$_ } values %same) {
        my $join = $path =~ /\?/ ? '&' : '?';
        my $page = $l->http(GET => "$path${join}last_event_id=earliest&limit=1", headers => {Accept => 'application/json'});
        is $page->status . ' ' . @{ $page->json->{events} }, '200 1', "a page of $path";
        my $line = $l->stream("$path${join}follow=1&last_event_id=earliest", headers => {Accept => 'application/x-ndjson'})->next_line(10);
        is Leat::decode($line)->{type}, 'task.created', '... and lines';
    }
};

subtest 'so is what else waits' => sub {
    my $log = $l->stream("/api/tasks/$done->{id}/log?fol%6cow=1", headers => {Accept => '*/*'});
    is $log->next_line(10), 'said', 'a log that follows';
    my $etag = $l->http(GET => "/api/tasks/$id")->header('ETag');
    my $r = $l->http(GET => "/api/tasks/$id", headers => [Prefer => 'respond-async', Prefer => 'wait=0.2', 'If-None-Match' => $etag]);
    is $r->status, 304, 'a task, with two Prefer headers';
};

subtest 'what is refused is refused there too' => sub {
    my @cases = (
        [401, '/api//events', Authorization => 'Bearer nonsense'],
        [403, '/api//events', Origin => 'https://elsewhere.example'],
        [404, '/api/tasks/01890000-0000-7000-8000-000000000000//events'],
        [422, '/api//events?types=A'],
        [404, '/api/nothing/%65vents'],
        [404, '/api/internal/%65vents'],
        [404, '/leat-files/x'],
        [404, '/leat-problem'],
        [404, '/leat-no-answer'],
        [404, '/leat-no-stream'],
    );
    for (@cases) {
        my ($status, $path, @headers) = @$_;
        is $l->http(GET => $path, headers => [@sse, @headers])->status, $status, "$path @headers";
    }
};

# ---- refusals ------------------------------------------------------------------------------------

# A problem (RFC 9457) with all that belongs to one.
sub refused {
    my ($r, $status, $code, $what, $cache) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $j = ref $r->json eq 'HASH' ? $r->json : {};
    my @is = ($r->status, $r->header('Content-Type') // '', $j->{status} // '', $j->{code} // '');
    push @is, join ' ', sort keys %$j;
    push @is, JSON::PP::is_bool($j->{retryable}) && !$j->{retryable} ? 'no' : 'yes';
    push @is, ($j->{request_id} // '') eq ($r->header('X-Request-ID') // '-') ? 'its id' : 'another id';
    push @is, map { $r->header($_) // 'none' } 'Cache-Control', 'X-Content-Type-Options';
    push @is, length $j->{title} && length $j->{detail} ? 'words' : 'no words';
    is_deeply \@is, [
        $status, 'application/problem+json', $status, $code, 'code detail request_id retryable status title type', 'no', 'its id',
        $cache // 'no-store', 'nosniff', 'words',
        ],
        "$status $code: $what"
        or diag $r->body;
}

subtest 'what is no request' => sub {
    my $head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    refused($l->http(GET => "/api/groups/$_"), 400, 'bad_request', $_) for '%zz', '%00', '%', '../../../x';
    refused($l->http(POST => '/api/tasks/%00', body => 'x' x 3_000_000), 400, 'bad_request', 'with a body');
    refused($l->http(TRACE => '/api/tasks'), 405, 'method_not_allowed', 'TRACE');
    is $l->http(TRACE => '/api/tasks')->header('Allow'), 'GET, HEAD, POST, PUT, DELETE, OPTIONS', '... says what is';
    refused($l->talk("POST /api/tasks?type=count ${head}$_->[0]"), $_->[1], $_->[2], $_->[0] =~ s/\r\n/ /gr) for (
        ["Transfer-Encoding: foo\r\n\r\nx",               501, 'not_implemented'],
        ["Transfer-Encoding: chunked\r\n\r\nzzz\r\n",     400, 'bad_request'],
        ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello!", 400, 'bad_request'],
        ["Content-Length: x\r\n\r\n",                     400, 'bad_request'],
        ["Content-Length: 99999999999999999999\r\n\r\n",  400, 'bad_request'],
    );
    refused($l->talk("GET /api/health HTTP/1.1\r\n\r\n"), 400, 'bad_request', 'no Host');
    refused($l->talk("GET /api/health HTTP/9.1\r\nHost: localhost\r\n\r\n"), 505, 'http_version_not_supported', 'another HTTP');
    refused($l->talk("nonsense, as such\r\n\r\n"), 400, 'bad_request', 'no HTTP at all');
};

subtest 'what is too long' => sub {
    my $input = 'x' x 20_000;
    my $s = $l->http(GET => "/api/run/count?input=$input", headers => {@sse});
    is $s->status, 200, 'a GET of 20 KB';
    my ($task) = $s->header('Content-Location') =~ m{tasks/([^/]+)/events};
    is $l->reaches($task)->{result}, 20_000, '... is whole';
    $s = $l->http(GET => '/api/run/count?input=' . 'x' x 32_000, headers => [@sse, map { ("X-$_" => 'x' x 1000) } 1 .. 30]);
    is $s->status, 200, '32 KB, and 30 of headers';

    refused($l->http(GET => '/api/run/count?input=' . 'x' x 40_000, headers => {@sse}), 414, 'uri_too_long', 'a GET of 40 KB');
    refused($l->talk("POST $_ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9223372036854775807\r\n\r\nx"),
        413, 'body_too_large', "8 EB for $_") for '/api/tasks', '/elsewhere';
    refused($l->http(GET => '/api/tasks', headers => {'X-Long' => 'x' x 100_000}), 431, 'headers_too_large', 'a header of 100 KB');
    refused($l->http(GET => '/api/tasks', headers => [map { ("X-$_" => 'x' x 1000) } 1 .. 100]), 431, 'headers_too_large', 'a hundred of 1 KB');
    # nginx writes more about each than it has read, and can pass on no more than 64 KB
    my ($long, $many) = ('x' x 32_500, 'h: ' . 'x' x 28 . "\r\n");
    $many x= 960;
    refused($l->talk("GET /api/tasks?$long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n$many\r\n"), 500, 'internal', 'almost too long, both');
    is $l->http(GET => '/api/health')->status, 200, 'the next request is served';
};

subtest 'files, which the web server sends' => sub {
    my $url = "/api/tasks/$done->{id}/files/photo.jpg";
    my $get = sub { return $l->http(GET => $url, headers => {@_}) };
    is $get->()->body, 'abcdef', 'a file';
    is $l->http(GET => "/api/tasks/$done->{id}/files/$_")->body, "no stream\n", "one with the name $_" for 'events', '%65vents';
    my $beyond = $get->(Range => 'bytes=100-');
    refused($beyond, 416, 'range_not_satisfiable', 'beyond its end', 'private, no-cache');
    is $beyond->header('Content-Range'), 'bytes */6', '... says where that is';
    refused($get->('If-Match' => '"other"'), 412, 'precondition_failed', 'another version');
    my $path = $l->state . "/files/$done->{id}/photo.jpg";
    rename $path, "$path.away" or die "$path: $!";
    refused($get->(), 404, 'not_found', 'one that is gone', 'private, no-cache');
    symlink '/etc/hostname', $path or die "$path: $!";
    refused($get->(), 500, 'internal', 'one that nginx must not send', 'private, no-cache');
    unlink $path;
    rename "$path.away", $path or die "$path: $!";
    is $get->()->status, 200, 'a file, as before';
};

# ---- another site --------------------------------------------------------------------------------

subtest 'a site that has locations of its own' => sub {
    my ($said, $back) = $l->change_site(sub {
        $_ .= <<'EOT';
location ~ [.]jpg$ { return 403; }
location ~ events { return 403; }
location = /its/own { include leat-pass.conf; }
location = /busy { return 503; }
location = /gone { fastcgi_pass unix:/nobody/is.there; }
EOT
    });
    ok $back, 'the web server came back';
    is $l->stream($_)->next_event(10)->{json}{type}, 'stream.connected', "$_ is served"
        for '/api/events', '/api/%65vents';
    is $l->http(GET => "/api/tasks/$done->{id}/files/photo.jpg")->body, 'abcdef', 'so is a file';
    is $l->http(GET => '/photo.jpg')->status, 403, '(what is not below /api is not ours)';
    refused($l->http(GET => '/its/own'), 404, 'not_found', 'a path of its own is passed on too');
    for (['/busy', 503], ['/gone', 502]) {
        my $r = $l->http(GET => $_->[0]);
        is $r->status . ' ' . $r->header('Content-Type'), "$_->[1] text/html", "$_->[0]: what is not of Leat stays the page of nginx";
    }
};

Leat::write_file("$l->{dir}/gate", '');
$l->stop;
done_testing;
