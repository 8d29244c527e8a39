# Pages of other origins, through the real web server: what they may read, what they may not do, and that
# a refused request changes nothing.
use strict;
use warnings;
use Leat;
use Test::More;

my $app  = 'https://app.example';
my $evil = 'https://evil.example';
my $l    = Leat->start(conf => "[http]\nhosts = 127.0.0.1, public.example\nallowed_origins = $app, http://localhost:3000\n");
my $self = $l->url;

sub ask {
    my ($method, $path, $origin, %opt) = @_;
    my @headers = (defined $origin ? (Origin => $origin) : (), @{ delete $opt{headers} || [] });
    return $l->http($method => $path, headers => \@headers, %opt);
}

sub count { return scalar @{ $l->http(GET => '/api/tasks')->json->{tasks} } }

my %new = (json => {type => 'wordcount', input => 'a b', group => 'g'});
my $id  = $l->http(POST => '/api/tasks', %new)->json->{task_id};

subtest 'a listed page reads answers of every kind' => sub {
    my %answers = (
        'a document'        => ask(GET     => "/api/tasks/$id", $app),
        'a creation'        => ask(POST    => '/api/tasks', $app, %new),
        'one that waited'   => ask(POST    => '/api/tasks', $app, %new, headers => [Prefer => 'wait=5']),
        'a problem'         => ask(GET     => '/api/tasks/nothing', $app),
        'a path that is none' => ask(GET => '/api/nothing', $app),
        'a bad request'     => ask(GET     => '/api/tasks/%01', $app),
        'a wrong token'     => ask(GET     => '/api/tasks', $app, headers => [Authorization => 'Bearer x']),
        'a wrong method'    => ask(PATCH   => '/api/tasks', $app),
        'OPTIONS'           => ask(OPTIONS => '/api/tasks', $app),
        'not modified'      => ask(GET     => "/api/tasks/$id", $app, headers => ['If-None-Match' => '*']),
        'no content'        => ask(GET     => '/api/health', $app),
    );
    for (sort keys %answers) {
        my $r = $answers{$_};
        is $r->header('Access-Control-Allow-Origin'), $app, "$_ (" . $r->status . ')';
        is $r->header('Access-Control-Allow-Credentials'), 'true', '... with credentials';
        is $r->header('Vary'), 'Origin', '... and caches are told';
        like $r->header('Access-Control-Expose-Headers'), qr/^Location, Content-Location, ETag, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID, Preference-Applied$/,
            '... with what scripts may read';
    }
    my $s = $l->stream("/api/tasks/$id/events", headers => {Origin => $app});
    is $s->status, 200, 'a stream';
    is $s->header('Access-Control-Allow-Origin'), $app, '... that the page may read';
    ok $s->next_event(5, 'task.created'), '... and does';
    is ask(GET => '/api/tasks', 'http://localhost:3000')->header('Access-Control-Allow-Origin'), 'http://localhost:3000', 'each by its name';
};

subtest 'nobody else is told that they may' => sub {
    for my $origin ($evil, 'null', 'http://app.example', "$app:8443", "$app.evil.example", 'http://localhost') {
        my $r = ask(GET => "/api/tasks/$id", $origin);
        is $r->status, 200, "$origin: reading is harmless";
        is $r->header($_), undef, "... $_" for qw(Access-Control-Allow-Origin Access-Control-Allow-Credentials);
        is $r->header('Vary'), 'Origin', '... Vary';
    }
    my $r = ask(GET => '/api/tasks', undef);
    is $r->header('Access-Control-Allow-Origin'), undef, 'nor is who has no origin';
};

subtest 'other pages change nothing' => sub {
    my $before = count();
    my @ways = ([Origin => $evil], [Origin => 'null'], ['Sec-Fetch-Site' => 'cross-site'],
        [Origin => $evil, 'Sec-Fetch-Site' => 'cross-site', 'Content-Type' => 'text/plain']);
    for my $headers (@ways) {
        my @asked = (
            [POST => '/api/tasks', %new], [POST => '/api/tasks?type=wordcount', body => 'x'],
            [POST => "/api/tasks/$id/cancel"], [POST => "/api/tasks/$id/retry"], [DELETE => "/api/tasks/$id"],
            [PUT => '/api/groups/g/context', body => '{"a":1}'], [POST => '/api/groups/g/events', body => '{"type":"a.b"}'],
            [POST => '/api/groups/g/cancel'], [POST => '/api/tickets', body => '{"all":true}'], [GET => '/api/run/wordcount?input=x'],
        );
        for (@asked) {
            my ($method, $path, @with) = @$_;
            my $r = $l->http($method => $path, @with, headers => $headers);
            is join(' ', $r->status, $r->json ? $r->json->{code} : ''), '403 origin_not_allowed', "$method $path with @$headers";
        }
    }
    is count(), $before, 'no task was made';
    is $l->http(GET => "/api/tasks/$id")->json->{status}, 'completed', 'none was deleted or retried';
    is $l->http(GET => '/api/groups/g')->json->{version}, 0, 'no context was written';
    my @published = grep { $_->{type} eq 'a.b' } @{ $l->http(GET => '/api/groups/g/events?last_event_id=earliest', headers => [Accept => 'application/json'])->json->{events} };
    is_deeply \@published, [], 'nothing was published';
};

subtest 'other pages open no stream' => sub {
    for my $path ('/api/events', "/api/tasks/$id/events", '/api/groups/g/events', "/api/tasks/$id/log?follow=1") {
        for my $accept ('text/event-stream', 'application/x-ndjson', 'application/json') {
            my $r = ask(GET => $path, $evil, headers => [Accept => $accept], timeout => 3);
            is join(' ', $r->status, $r->json ? $r->json->{code} : ''), '403 origin_not_allowed', "$path as $accept";
        }
    }
};

subtest 'the site\'s own pages may do everything' => sub {
    my $r = ask(POST => '/api/tasks', $self, %new);
    is $r->status, 202, 'create';
    is $r->header('Access-Control-Allow-Origin'), undef, '... which needs no permission';
    $r = $l->http(POST => '/api/tasks', %new, headers => [Origin => 'https://public.example', 'Sec-Fetch-Site' => 'same-origin']);
    is $r->status, 202, 'also behind a proxy that calls the host something else';
    $r = $l->http(POST => '/api/tasks', %new, headers => [Origin => 'http://public.example', Host => 'public.example']);
    is $r->status, 202, '... or keeps its name';
    my $s = $l->stream("/api/tasks/$id/events", headers => {Origin => $self});
    is $s->status, 200, 'a stream';
    is $l->http(POST => '/api/tasks', %new)->status, 202, 'curl is no page';
};

subtest 'a preflight' => sub {
    my @want = ('Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'authorization,prefer');
    for my $path ('/api/tasks', "/api/tasks/$id/events", '/api/groups/g/context', '/api/tickets') {
        my $r = ask(OPTIONS => $path, $app, headers => [@want]);
        is $r->status, 204, "$path: answered without a credential";
        is $r->header('Access-Control-Allow-Origin'), $app, '... this page may';
        like $r->header('Access-Control-Allow-Methods'), qr/\b$_\b/, "... $_" for qw(GET POST PUT DELETE);
        like $r->header('Access-Control-Allow-Headers'), qr/(?:^|, )$_(?:,|$)/, "... $_"
            for qw(Authorization Content-Type Prefer Idempotency-Key If-Match If-None-Match Last-Event-ID X-Request-ID);
        cmp_ok $r->header('Access-Control-Max-Age'), '>', 0, '... for a while';
    }
    my $r = ask(OPTIONS => '/api/tasks', $evil, headers => [@want]);
    is $r->status, 403, 'another page may not';
    is $r->header($_), undef, "... no $_" for qw(Access-Control-Allow-Origin Access-Control-Allow-Methods Access-Control-Allow-Headers);
    $r = ask(OPTIONS => '/api/tasks', $app);
    is $r->status, 204, 'OPTIONS alone is none';
    like $r->header('Allow'), qr/\bPOST\b/, '... it says what the path knows';
};

subtest 'everybody, by *' => sub {
    $l->down;
    $l->conf("[http]\nallowed_origins = *\n");
    $l->up;
    my $r = ask(POST => '/api/tasks', $evil, %new);
    is $r->status, 202, 'any page may create';
    is $r->header('Access-Control-Allow-Origin'), '*', '... and read the answer';
    is $r->header('Access-Control-Allow-Credentials'), undef, '... but never with cookies';
    $r = ask(POST => '/api/tickets?cookie=1', $self, headers => ['Content-Type' => 'application/json'], body => '{"all":true}');
    my ($cookie) = ($r->header('Set-Cookie') // '') =~ /^(leat_ticket=[^;]+)/;
    is ask(POST => '/api/tasks', $self, headers => [Cookie => $cookie // ''], %new)->status, 403, '(a ticket only reads)';
    is ask(POST => '/api/tasks', $evil, headers => [Cookie => $cookie // ''], %new)->status, 202, '... and a cookie that comes along says nobody\'s name';
    $r = $l->http(POST => '/api/tasks', %new, headers => ['Sec-Fetch-Site' => 'cross-site']);
    is $r->status, 403, 'what shows no origin is no script of theirs';
};

subtest 'nobody, by default' => sub {
    $l->down;
    $l->conf('');
    $l->up;
    my $r = ask(GET => "/api/tasks/$id", $app);
    is $r->status, 200, 'reading is harmless';
    is $r->header($_), undef, "no $_" for qw(Access-Control-Allow-Origin Vary);
    is ask(POST => '/api/tasks', $app, %new)->status, 403, 'changing is refused';
    is ask(POST => '/api/tasks', $self, %new)->status, 202, 'but to the site itself';
    $l->down;
    $l->conf("[http]\nallowed_origins = https://app.example/\n");
    my $before = length $l->log;
    ok !eval { $l->{ready} = 10; $l->try_up }, 'a list that cannot match is an error at the start';
    $l->down;
    like substr($l->log, $before), qr{\[http\] allowed_origins: 'https://app.example/'}, '... that names it';
};

$l->stop;
done_testing;
