# `[routes]`: the paths of a front end that was there before, through nginx and as a CGI program, and what is wrong
# with a row.
use strict;
use warnings;
use File::Path qw(make_path);
use Leat;
use Test::More;

my $pages = '/tmp/leat-pages-' . $$;
make_path("$pages/shop");
Leat::write_file("$pages/shop/index.html", "a page\n");
END { File::Path::remove_tree($pages) if $pages }

my $l = Leat->start(env => {PAGES => $pages}, conf => <<'CONF');
[http]
allowed_origins = https://front.example
[auth]
token_query = token
token_cookie = session
[routes]
POST /api/generate-async                  = /tasks?type=generate&dialect=flat
GET  /api/generate-async/{id}             = /tasks/{id}?dialect=flat
GET  /api/generate-async/{id}/stream      = /tasks/{id}/events?dialect=flat
GET  /api/app/chat/stream?session_id={s}&message={m} = /run/chat?group={s}&input={m}&dialect=flat
GET  /api/repositories/{id}/events        = /groups/{id}/events?dialect=repo
# beside the prefix
POST /shop/orders                         = /tasks
GET  /shop/orders                         = /tasks?type=generate
GET  /shop/orders/{id}                    = /tasks/{id}
DELETE /shop/orders/{id}                  = /tasks/{id}
GET  /shop/of/{g}/events                  = /groups/{g}/events
GET  /shop/r%C3%A9sum%C3%A9.pdf?of={id}   = /tasks/{id}/result
CONF
$l->job(generate => "#!/bin/sh\necho 50 half >&3\ntr a-z A-Z\n");
$l->job(chat => "#!/bin/sh\nprintf '%s: ' \"\$LEAT_GROUP\"\ncat\n", "get = yes\n");

# The same by both doors: what http() takes of a request.
my %door = (
    HTTP => sub { my ($method, $path, %o) = @_; return $l->http($method, $path, %o) },
    CGI   => sub {
        my ($method, $path, %o) = @_;
        my %h = %{ $o{headers} || {} };
        return $l->cgi($method, $path, $o{body} // '', CONTENT_TYPE => 'text/plain', map { 'HTTP_' . uc(tr/-/_/r) => $h{$_} } keys %h);
    },
);

sub events { return map { Leat::decode($_) } $_[0]->body =~ /^data: (.*)$/mg }

for my $door (sort keys %door) {
    my $ask = $door{$door};
    subtest "generate, by $door" => sub {
        my $r = $ask->(POST => '/api/generate-async', body => "some text\n");
        is $r->status, 202, 'created';
        my $id = $r->json->{taskId};
        is_deeply [sort keys %{ $r->json }], [qw(code error progress result retryable status success taskId)], 'in its dialect';
        is $r->header('Location'), "/api/tasks/$id", 'where it is: a path of ours';
        $r = $ask->(GET => "/api/generate-async/$id/stream?seconds=20", headers => {Accept => 'text/event-stream'});
        is $r->status, 200, 'its stream';
        my @events = events($r);
        is $events[0]{type}, 'connected', 'begins';
        is $events[-2]{type} . ' ' . $events[-2]{result}, "completed SOME TEXT", 'and ends';
        $r = $ask->(GET => "/api/generate-async/$id");
        is $r->status . ' ' . $r->json->{result}, '200 SOME TEXT', 'the task';
        my $etag = $r->header('ETag');
        is $ask->(GET => "/api/generate-async/$id", headers => {'If-None-Match' => $etag})->status, 304, 'its ETag counts';
        is $ask->(GET => "/api/generate-async/$id?dialect=envelope")->json->{taskId}, $id, 'what the target says wins';
        is $ask->(HEAD => "/api/generate-async/$id")->header('ETag'), $etag, 'HEAD';
        $r = $ask->(GET => '/api/generate-async/7');
        is $r->status . ' ' . $r->json->{detail}, '404 nothing is at /api/generate-async/7', 'what no task is';
    };
    subtest "chat, by $door" => sub {
        my $path = '/api/app/chat/stream?session_id=s%2F1%20%26&message=what+%C3%A4%3F&seconds=20';
        my $r = $ask->(GET => $path, headers => {Accept => 'text/event-stream'});
        is $r->status, 200, 'asked';
        my ($end) = grep { $_->{type} eq 'completed' } events($r);
        is $end->{result}, "s/1 &: what \xe4?", 'group and input came as they were meant';
        my ($id) = (events($r))[0]{taskId};
        my $again = $ask->(GET => $path, headers => {Accept => 'text/event-stream'});
        is +(events($again))[0]{taskId}, $id, 'the same again is the same task';
        is $l->http(GET => "/api/tasks/$id")->json->{group_id}, 's/1 &', 'of that group';
        is $ask->(GET => '/api/app/chat/stream', headers => {'Sec-Fetch-Site' => 'cross-site', Accept => 'text/event-stream'})->status,
            403, 'a page of another site may not ask';
    };
    subtest "repositories, by $door" => sub {
        $l->http(POST => '/api/groups/-/events?group=org%2Frepo', json => {type => 'doc.created', payload => {n => 1}});
        my $r = $ask->(GET => '/api/repositories/org%2Frepo/events?last_event_id=earliest&seconds=1', headers => {Accept => 'text/event-stream'});
        my ($doc) = grep { $_->{type} eq 'doc.created' } events($r);
        is $doc->{repo_id}, 'org/repo', 'events of a group whose name has a slash';
    };
    subtest "methods, by $door" => sub {
        my $id = $ask->(POST => '/api/generate-async', body => 'x')->json->{taskId};
        for (['/api/generate-async', 'POST, OPTIONS'], ["/api/generate-async/$id", 'GET, HEAD, OPTIONS'], ["/shop/orders/$id", 'GET, HEAD, DELETE, OPTIONS']) {
            my ($path, $allow) = @$_;
            my $r = $ask->(PUT => $path);
            is $r->status . ' ' . ($r->header('Allow') // ''), "405 $allow", "PUT $path";
            $r = $ask->(OPTIONS => $path);
            is $r->status . ' ' . ($r->header('Allow') // ''), "204 $allow", "OPTIONS $path";
        }
        my $r = $ask->(
            OPTIONS => '/api/generate-async',
            headers => {Origin => 'https://front.example', 'Access-Control-Request-Method' => 'POST'}
        );
        is $r->status . ' ' . $r->header('Access-Control-Allow-Origin'), '204 https://front.example', 'a preflight';
        is $ask->(POST => '/api/generate-async', body => 'x', headers => {Origin => 'https://other.example'})->status, 403, 'another origin';
        $l->reaches($id);
        is $ask->(DELETE => "/shop/orders/$id")->status, 204, 'DELETE';
        is $ask->(GET => "/shop/orders/$id")->status, 404, '... is done';
    };
    subtest "beside the prefix, by $door" => sub {
        my $r = $ask->(POST => '/shop/orders?type=generate&group=o%2F1', body => 'order', headers => {Prefer => 'wait=20'});
        is $r->status . ' ' . $r->json->{status}, '200 completed', 'created';
        my $task = $r->json->{task};
        is $task->{links}{self}, "/api/tasks/$task->{id}", 'links lead to paths of ours';
        is $ask->(GET => '/shop/orders?page_size=1')->json->{tasks}[0]{id}, $task->{id}, 'a list, with what the client adds';
        is $ask->(GET => "/shop/orders/$task->{id}/")->json->{id}, $task->{id}, 'a slash at the end';
        is $ask->(GET => "/shop/r%C3%A9sum%C3%A9.pdf?of=$task->{id}")->body, 'ORDER', 'a path with umlauts';
        $r = $ask->(GET => '/shop/r%C3%A9sum%C3%A9.pdf');
        is $r->status . ' ' . $r->json->{detail}, "422 query parameter 'of' is missing", 'a parameter that must be there';
        subtest "a name with a slash, by $door" => sub {
            $r = $ask->(GET => '/shop/of/o%2F1/events?last_event_id=earliest&seconds=0.5', headers => {Accept => 'text/event-stream'});
            is +(grep { $_->{type} eq 'task.created' } events($r))[0]{task_id}, $task->{id}, 'its events';
        };
    };
}

subtest 'credentials are asked for as at the target' => sub {
    my $made = $l->leat(qw(token add --owner ann --scope read));
    my $token = $made->{out};
    is $l->http(POST => '/api/generate-async', body => 'x', headers => {Authorization => "Bearer $token"})->json->{code}, 'insufficient_scope', 'by scope';
    is $l->http(GET => '/shop/orders?token=' . $token)->json->{tasks}[0], undef, 'another owner, by the query';
    is $l->http(GET => '/shop/orders', headers => {Authorization => 'Bearer none'})->status, 401, 'a token that is none';

    # one that creates with a bearer, and watches by an EventSource, which has none
    $token = $l->leat(qw(token add --owner bea --scope create,read))->{out};
    my $id = $l->http(POST => '/api/generate-async', body => 'x', headers => {Authorization => "Bearer $token"})->json->{taskId};
    my $stream = "/api/generate-async/$id/stream";
    for ([$stream, Cookie => "a=b; session=$token"], ["$stream?token=$token"]) {
        my ($path, @headers) = @$_;
        my @told = map { $_->{json}{type} } $l->stream($path, headers => [@headers])->rest(20);
        is $told[-2], 'completed', @headers ? 'a stream by its cookie' : '... and by its query';
    }
    is $l->http(GET => $stream, headers => {Cookie => 'session=none', Accept => 'text/event-stream'})->status, 401, '... not by another';
    is $l->http(POST => '/api/generate-async', body => 'x', headers => {'Content-Encoding' => 'gzip'})->status, 415, 'its body';
};

subtest 'pages beside them stay' => sub {
    is $l->http(GET => '/shop/index.html')->body, "a page\n", 'a page';
    is $l->http(GET => '/shop/none')->status, 404, 'and none';
};

subtest 'a row that is wrong stops the start, and says where' => sub {
    $l->down;
    my @rows = (
        ['GET /a = /nothing' => 'GET /a: the target names no route'],
        ['POST /a/{x} = /tasks/{x}' => 'POST /a/{x}: the target does not know that method'],
        ['GET /api/tasks/{x} = /groups/{x}' => "GET /api/tasks/{x}: this is a path of Leat's own, /api/tasks/{id}"],
        ["GET /a = /tasks\nGET /a = /types" => 'GET /a: the same method and path come twice'],
        ['GET /a/{x} = /tasks/{y}' => 'GET /a/{x}: {y} is not bound'],
        ['GET /a/{x}/{x} = /tasks/{x}' => 'GET /a/{x}/{x}: {x} is bound twice'],
        ['GET /a /tasks=' => "'GET /a /tasks=' is not METHOD PATH = TARGET"],
    );
    my $program = ($ENV{BUILD} || 'build') . '/leat.fcgi';
    for (@rows) {
        my ($row, $why) = @$_;
        $l->conf("[routes]\n$row\n");
        my $line = 1 + split /\n/, $row;
        my $said = qx($program --config $l->{conf} --check 2>&1);
        is $? >> 8, 78, "--check of $row";
        is $said, "leat.fcgi: $l->{conf}:$line: [routes] $why\n", 'where and why';
    }
    ok !eval { $l->up; 1 }, 'make run does not start';
    like $@, qr{\Q$l->{conf}:2: [routes] 'GET /a /tasks='\E}, 'for the same reason';
    $l->conf("[routes]\nGET /a = /tasks ; fine\n");
    is qx($program --config $l->{conf} --check 2>&1) . $?, '0', '--check of what is right says nothing';
    is qx($program --config $l->{conf} --paths 2>&1), "^/a/?\$\n", '--paths';
};

subtest 'no variable adds a row, and a root may be one' => sub {
    $l->{env} = {'LEAT_ROUTES_X' => '/tasks', LEAT_ROUTES => 'GET /b = /tasks'};
    $l->conf("[routes]\nGET / = /tasks\nGET /{a}/b = /tasks\n");
    $l->up;
    ok $l->http(GET => '/')->json->{tasks}, 'the root';
    ok $l->http(GET => '/c/b')->json->{tasks}, 'a name first';
    is $l->http(GET => $_)->status, 404, $_ for '/b', '/api/b';
};

$l->stop;
done_testing;
