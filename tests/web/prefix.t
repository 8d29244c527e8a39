# `[http] prefix`: the whole site lies below it, whatever brings it there, and nothing beside it.
use strict;
use warnings;
use Leat;
use Test::More;

my $l;

# Every way that a request can take through the web server.
sub works_below {
    my ($prefix) = @_;
    my $create = sub {
        my ($fields, @headers) = @_;
        return $l->http(POST => "$prefix/tasks", json => $fields, headers => \@headers);
    };
    is $l->http(GET => "$prefix/health")->status, 200, 'it is healthy';
    my $r = $create->({type => 'makes', group => 'a b'}, Prefer => 'wait=20');
    is $r->status . ' ' . $r->json->{status}, '200 completed', 'a POST that waits';
    my $task  = $r->json->{task};
    my $here  = "$prefix/tasks/$task->{id}";
    my @links = ($task->{files}[0]{url}, values %{ $task->{links} });
    is_deeply [grep { index $_, "$here/" } grep { $_ ne $here } @links], [], 'its links lie below';
    is $l->http(GET => "$here/result")->body, "done\n", 'a result';

    my $file = $l->http(GET => "$here/files/photo.jpg", headers => {Range => 'bytes=2-'});
    is $file->status . ' ' . $file->body, '206 cdef', 'a file, by the web server';

    my $see = $create->({type => 'makes'}, Accept => 'text/event-stream')->header('Content-Location');
    like $see, qr{^\Q$prefix\E/tasks/[^/]+/events$}, 'the way to the events';
    for my $path ($see, "$here/events", $see =~ s/events$/%65vents/r) {
        my @events = $l->stream($path)->rest(20);
        is $events[-1]{json}{payload}{reason}, 'finished', 'events to the end';
    }
    for my $path ("$prefix/events", "$prefix/groups/a%20b/events", "$prefix/groups/a%20b//events/") {
        my $event = $l->stream($path)->next_event(10);
        is $event->{json}{type}, 'stream.connected', "a stream of $path";
    }
    my $lines = $l->stream("$here/log?follow=1", headers => {Accept => '*/*'});
    is $lines->next_line(10), 'said', 'a log that follows';
    my $etag = $l->http(GET => $here)->header('ETag');
    is $l->http(GET => $here, headers => {'If-None-Match' => $etag, Prefer => 'wait=0.1'})->status, 304, 'a GET that waits';

    is $l->http(GET => "$prefix/openapi.json")->json->{servers}[0]{url}, $prefix, 'the description says where';
    like Leat::slurp($l->site . '/try.txt'), qr{localhost:\d+\Q$prefix\E/tasks/}, 'so does what there is to try';
    like $l->http(GET => '/')->body, $prefix ? qr{<meta name="leat-api" content="\Q$prefix\E">} : qr/^Leat runs here/,
        $prefix ? 'and the dashboard' : 'which is shown at the root';
}

# As it is at the next start.
sub begin {
    my ($conf) = @_;
    $l->down;
    $l->conf($conf);
    $l->up;
}

subtest 'two words deep' => sub {
    $l = Leat->start(conf => "[http]\nprefix = /leat/v1\n");
    $l->job(makes => "#!/bin/sh\necho said >&2\nprintf abcdef >\"\$LEAT_FILES/photo.jpg\"\necho done\n");
    works_below('/leat/v1');
    is $l->http(GET => $_)->status, 404, "nothing is at $_" for '/api/health', '/leat/health', '/leat/v10/health';
};

subtest 'at the root' => sub {
    begin("[http]\nprefix = /\n");
    works_below('');
    is $l->http(GET => '/api/health')->status, 404, 'nothing is at /api/health';
};

subtest 'the environment says it, and the last value counts' => sub {
    begin("[http]\nprefix = /one\n[runner]\nworkers = 2\n[http]\n  prefix=/two ; and no other\n");
    is $l->http(GET => '/two/health')->status, 200, 'the last one of the file';
    local $ENV{LEAT_HTTP_PREFIX} = '/three';
    begin("[http]\nprefix = /one\n");
    works_below('/three');
    is $l->http(GET => '/one/health')->status, 404, 'not the one of the file';
};

subtest 'an empty one is that by default' => sub {
    begin("[http]\nprefix = /one\nprefix =\n");
    works_below('/api');
};

subtest 'one that a URL cannot hold as it is, is refused' => sub {
    for my $prefix ('/a b', '/a%20b', '/ä', '/a{b}') {
        $l->down;
        $l->conf("[http]\nprefix = $prefix\n");
        ok !eval { $l->up; 1 }, $prefix;
        like $@, qr/run: \[http\] prefix: /, 'and it says why';
    }
};

$l->stop;
done_testing;
