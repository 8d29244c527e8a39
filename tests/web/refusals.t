# What is refused: a table of requests, each with the status and the code of its answer. None changes a
# byte of the database, and all say no in the same form.
use strict;
use warnings;
use Fcntl qw(LOCK_EX LOCK_UN);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Leat;
use POSIX ();
use Test::More;

my $MAX_BODY = 2000;
my $MAX_RAW  = 3000;
my $app      = 'https://app.example';
my $evil     = 'https://evil.example';
my $none     = '01890000-0000-7000-8000-000000000000';

my $l = Leat->start(conf => <<"CONF");
[auth]
anonymous =
[http]
max_body_bytes = $MAX_BODY
max_raw_bytes = $MAX_RAW
allowed_origins = $app
[database]
busy_ms = 300
[limits]
queued_per_owner = 2
CONF
$l->job(cat   => "#!/bin/sh\nexec cat\n");
$l->job(fails => "#!/bin/sh\nexit 65\n");
$l->job(turn  => "#!/bin/sh\nexec sleep 600\n", "serialize = group\nkill_grace = 0\n"); # one of a group at a time
$l->job(small => "#!/bin/sh\nexec cat\n", "max_input_bytes = 10\nget = yes\n");
$l->job(waits => "#!/bin/sh\nwhile [ ! -e $l->{dir}/gate ]; do sleep 0.05; done\n");

my %token;    # name => token
for (
    [alice => 'alice', 'create,read,publish'], [bob => 'bob', 'create,read,publish'], [reader => 'alice', 'read'],
    [creator => 'alice', 'create'], [publisher => 'alice', 'publish'], [full => 'full', 'create,read'],
    [expired => 'alice', 'read,create', '--expires', '1s'], [revoked => 'alice', 'read,create'], [admin => 'admin', 'admin,create'],
) {
    my ($name, $owner, $scope, @more) = @$_;
    $token{$name} = $l->leat(qw(token add --owner), $owner, '--scope', $scope, '--name', $name, @more)->{out};
}
my ($id) = grep { $_->{name} eq 'revoked' } @{ Leat::decode($l->leat(qw(token list --json))->{out})->{tokens} };
is $l->leat(qw(token revoke), $id->{id})->{status}, 0, 'a token is revoked';

sub as { return (Authorization => "Bearer $token{$_[0]}") }
sub text_of { return JSON::PP->new->utf8->allow_nonref->canonical->encode($_[0]) }

sub made {
    my ($owner, $fields, @more) = @_;
    my $r = $l->http(POST => '/api/tasks', json => $fields, headers => [as($owner), @more]);
    $r->json && $r->json->{task_id} or die $r->body;
    return $r->json->{task_id};
}

# ---- a database in which everything there is to refuse is at hand --------------------------------

my @wait  = (Prefer => 'wait=20');
my $done   = made(alice => {type => 'cat', input => 'x', group => 'g'}, @wait);
my $failed = made(alice => {type => 'fails', group => 'g'}, @wait);
my $gone   = made(alice => {type => 'cat', group => 'g'}, @wait);
my $old    = $l->http(GET => "/api/tasks/$done", headers => [as('alice')])->json->{cursor};
is $l->http(DELETE => "/api/tasks/$gone", headers => [as('alice')])->status, 204, 'a deleted task';
my $late    = made(alice => {type => 'cat', delay => 6000});
my $running = made(alice => {type => 'waits'});
my $stuck   = made(full => {type => 'cat', delay => 6000, group => 'later'});
$l->http(POST => "/api/tasks/$stuck/cancel", headers => [as('full')]);
my $first = made(full => {type => 'turn', group => 'turns'});
wait_until { $l->http(GET => "/api/tasks/$first", headers => [as('full')])->json->{status} eq 'running' } 20;
made(full => {type => 'turn', group => 'turns'}) for 1, 2;
is $l->http(PUT => '/api/groups/g/context', json => {v => $_}, headers => [as('alice')])->status, 200, 'a context' for 1, 2;
is $l->http(POST => '/api/tasks', json => {type => 'cat', delay => 6000}, headers => [as('alice'), 'Idempotency-Key' => 'k'])->status, 202, 'a key';
my $ticket = $l->http(POST => '/api/tickets', json => {task => $done}, headers => [as('alice')])->json->{ticket};
wait_until { $l->http(GET => "/api/tasks/$running", headers => [as('alice')])->json->{status} eq 'running' } 20;
my $now = $l->http(GET => '/api/events?last_event_id=now', headers => [as('alice'), Accept => 'application/json'])->json->{cursor};
(my $future  = $now) =~ s/\d+$/999999999/;
(my $foreign = $now) =~ s/^[^-]+/00000000/;
my $expired = wait_until { $l->http(GET => '/api/tasks', headers => [as('expired')])->status == 401 } 5;
ok $expired, 'a token has expired';

# Every row of every table, but what the programs note of themselves.
my $tables = do {
    my %skip = map { $_ => 1 } qw(rates figures processes runners);
    my @sql;
    for my $table (rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")) {
        next if $skip{$table};
        my $where = $table eq 'sqlite_sequence' ? q{WHERE name NOT IN ('processes', 'runners')} : '';
        my @columns = grep { $_ ne 'lease_until' } rows("SELECT name FROM pragma_table_info('$table')");
        push @sql, "SELECT '$table', " . join(', ', map { "quote($_)" } @columns) . " FROM $table $where";
    }
    join ";\n", @sql;
};

# One shell for all: it ends with the pipe.
my ($from, $to);

sub rows {
    my ($sql) = @_;
    if (!$to) {
        open2($from, $to, qw(sqlite3 -readonly -batch -init /dev/null), $l->state . '/leat.db');
        print {$to} ".timeout 5000\n";
    }
    print {$to} "$sql;\nSELECT 'that is all';\n";
    $to->flush;
    my @rows;
    while (defined(my $row = readline $from)) {
        chomp $row;
        return @rows if $row eq 'that is all';
        push @rows, $row;
    }
    die "sqlite3: $sql";
}

sub dump_all { return join "\n", rows($tables) }

my %title = (
    400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
    406 => 'Not Acceptable', 409 => 'Conflict', 410 => 'Gone', 412 => 'Precondition Failed', 413 => 'Content Too Large',
    415 => 'Unsupported Media Type', 422 => 'Unprocessable Content', 429 => 'Too Many Requests', 503 => 'Service Unavailable',
);

# What is wrong with a refusal, as such.
sub wrong {
    my ($r, $status, $code) = @_;
    my $j = ref $r->json eq 'HASH' ? $r->json : {};
    my %is = (
        status                   => [$r->status, $status],
        'Content-Type'           => [$r->header('Content-Type'), 'application/problem+json'],
        'members'                => [join(' ', sort keys %$j), 'code detail request_id retryable status title type'],
        type                     => [$j->{type}, 'about:blank'],
        title                    => [$j->{title}, $title{$status}],
        'status in it'           => [$j->{status}, $status],
        code                     => [$j->{code}, $code],
        detail                   => [length($j->{detail} // '') > 0, 1],
        retryable                => [$j->{retryable}, $status == 429 || $status == 503 ? JSON::PP::true : JSON::PP::false],
        request_id               => [$j->{request_id}, $r->header('X-Request-ID')],
        'Cache-Control'          => [$r->header('Cache-Control'), 'no-store'],
        'X-Content-Type-Options' => [$r->header('X-Content-Type-Options'), 'nosniff'],
        Location                 => [$r->header('Location'), undef],
        'Set-Cookie'             => [$r->header('Set-Cookie'), undef],
        Allow                    => [defined $r->header('Allow') || 0, $status == 405 || 0],
        'WWW-Authenticate'       => [($r->header('WWW-Authenticate') // '') =~ /^Bearer/ || 0, $status == 401 || 0],
        'Retry-After'            => [($r->header('Retry-After') // '') =~ /^[1-9]\d*$/ || 0, $status == 429 || $status == 503 || 0],
        RateLimit                => [($r->header('RateLimit') // '') =~ /^"\w+";r=0;t=\d+$/ || 0, $status == 429 || 0],
        'RateLimit-Policy'       => [($r->header('RateLimit-Policy') // '') =~ /^"\w+";q=\d+/ || 0, $status == 429 || 0],
    );
    return map { "$_ is " . ($is{$_}[0] // 'none') . ', not ' . ($is{$_}[1] // 'none') }
        grep { ($is{$_}[0] // "\0") ne ($is{$_}[1] // "\0") } sort keys %is;
}

my $before = dump_all();
cmp_ok length $before, '>', 2000, 'the database can be read';

# refused(WHO, STATUS, CODE, METHOD, PATH, [HEADER, VALUE..], BODY): WHO is a token, "" nobody.
sub refused {
    my ($who, $status, $code, $method, $path, $headers, $body) = @_;
    my @body = ref $body ? (json => $body) : defined $body ? (body => $body) : ();
    my $r = $l->http($method => $path, headers => [$who eq '' ? () : as($who), @{ $headers || [] }], @body, timeout => 15);
    my @wrong = wrong($r, $status, $code);
    my $after = dump_all();
    push @wrong, 'the database has changed' if $after ne $before;
    $before = $after;
    my $what = substr join(' ', $who, $method, $path, @{ $headers || [] }, ref $body ? text_of($body) : $body // ''), 0, 150;
    $what =~ s/[^ -~]/?/g;
    ok !@wrong, "$status $code: $what" or diag join("\n", @wrong), "\n", substr $r->body, 0, 500;
    return $r;
}

# Each row for each of a list of requests: [METHOD, PATH, HEADERS, BODY].
my @json = ('Content-Type' => 'application/json');
my @sse  = (Accept => 'text/event-stream');
my @page = (Accept => 'application/json');
my @lines = (Accept => 'application/x-ndjson');

my @of_task = (
    [GET => ''], [DELETE => ''], [POST => '/cancel'], [POST => '/retry'], [GET => '/result'], [GET => '/log'], [GET => '/log?follow=1'],
    [GET => '/events', \@sse], [GET => '/events', \@page], [GET => '/events', \@lines], [GET => '', [Prefer => 'wait=5']],
);
my @changing = (
    [POST => '/api/tasks', [], {type => 'cat'}], [POST => '/api/tasks?type=cat', [], 'x'],
    [POST => '/api/tasks', [Prefer => 'wait=5'], {type => 'cat'}], [POST => '/api/tasks', \@sse, {type => 'cat'}],
    [GET => '/api/run/small?input=1', \@sse], [POST => "/api/tasks/$late/cancel"], [POST => "/api/tasks/$failed/retry"],
    [DELETE => "/api/tasks/$done"], [POST => '/api/groups/g/cancel'], [POST => '/api/groups/g/retry'],
);
my @publishing = ([PUT => '/api/groups/g/context', [], {a => 1}], [POST => '/api/groups/g/events', [], {type => 'doc.created'}]);
my @reading = (
    [GET => '/api/tasks'], (map { [$_->[0], "/api/tasks/$done$_->[1]", $_->[2]] } grep { $_->[0] eq 'GET' } @of_task),
    [GET => '/api/groups'], [GET => '/api/groups/g'], [GET => '/api/groups/g/context'], [GET => '/api/groups/g/events', \@sse],
    [GET => '/api/groups/g/events', \@page], [GET => '/api/events', \@sse], [GET => '/api/events', \@lines],
);
my @tickets = ([POST => '/api/tickets', [], {task => $done}]);
my @admin = ([GET => '/api/metrics'], [GET => '/api/stats']);

subtest 'who is nobody: 401' => sub {
    for (@changing, @publishing, @reading, @tickets, @admin, [GET => '/api/types']) {
        refused('', 401, 'unauthorized', @$_);
    }
    for my $request ($changing[0], $publishing[0], $reading[0], $changing[4]) {
        my ($method, $path, $headers, $body) = @$request;
        refused($_, 401, 'invalid_token', @$request) for qw(expired revoked);
        refused('', 401, 'invalid_token', $method, $path, [@{ $headers || [] }, Authorization => $_], $body) for 'Bearer nonsense', "Bearer $ticket";
        refused('', 401, 'unauthorized', $method, $path, [@{ $headers || [] }, Authorization => 'Basic YTpi'], $body);
    }
    refused('', 401, 'invalid_token', GET => '/api/events?ticket=nonsense', \@sse);
    refused('', 401, 'invalid_token', GET => '/api/events', [@sse, Cookie => 'leat_ticket=nonsense']);
};

subtest 'who may do less: 403' => sub {
    refused('reader',  403, 'insufficient_scope', @$_) for @changing, @publishing, @admin, [GET => '/api/types'];
    refused('creator', 403, 'insufficient_scope', @$_) for @reading, @publishing, @tickets, @admin, $changing[4];
    refused('publisher', 403, 'insufficient_scope', @$_) for $changing[0], $reading[0], @tickets;
    refused('alice', 403, 'insufficient_scope', @$_) for @admin;
    refused('alice', 403, 'insufficient_scope', $_->[0], "/api/groups/g$_->[1]?owner=bob", $_->[2], $_->[3])
        for [GET => ''], [GET => '/context'], [PUT => '/context', [], {}], [GET => '/events', \@sse], [POST => '/events', [], {type => 'a.b'}],
        [POST => '/cancel'], [POST => '/retry'];
    refused('alice', 403, 'insufficient_scope', GET => '/api/groups?owner=bob');
    refused('reader', 403, 'insufficient_scope', POST => '/api/tickets', [], {run => 'small'});

    refused('', 403, 'ticket_scope', GET => "/api/tasks/$failed?ticket=$ticket");
    refused('', 403, 'ticket_scope', GET => "/api/events?ticket=$ticket", \@sse);
    refused('', 403, 'ticket_scope', POST => "/api/tasks/$failed/retry?ticket=$ticket");
    refused('', 403, 'ticket_scope', $_->[0] => "/api/tasks/$done$_->[1]?ticket=$ticket") for [DELETE => ''], [POST => '/cancel'], [POST => '/retry'];
    refused('', 403, 'ticket_scope', POST => "/api/tasks?ticket=$ticket", [], {type => 'cat'});

    refused('alice', 403, 'not_by_get', GET => '/api/run/cat?input=x', \@sse);
};

subtest 'pages of other origins: 403' => sub {
    for my $request (@changing, @publishing, @tickets, [GET => '/api/events', \@sse], [GET => "/api/tasks/$done/events", \@page], [GET => "/api/tasks/$done/log?follow=1"]) {
        my ($method, $path, $headers, $body) = @$request;
        refused('alice', 403, 'origin_not_allowed', $method, $path, [@{ $headers || [] }, Origin => $_], $body) for $evil, 'null';
    }
    for my $request (@changing, @publishing, @tickets) {
        my ($method, $path, $headers, $body) = @$request;
        refused('alice', 403, 'origin_not_allowed', $method, $path, [@{ $headers || [] }, 'Sec-Fetch-Site' => 'cross-site'], $body);
    }
    refused('alice', 403, 'origin_not_allowed', GET => '/api/run/small?input=1', [@sse, Origin => $app, 'Sec-Fetch-Site' => 'cross-site']);
    refused('', 403, 'origin_not_allowed', OPTIONS => '/api/tasks', [Origin => $evil, 'Access-Control-Request-Method' => 'POST']);
};

subtest 'unknown, or not yours: 404, in the same words' => sub {
    for (@of_task) {
        my ($method, $tail, $headers) = @$_;
        my %said = map { $_->[1] => refused($_->[0], 404, 'not_found', $method, "/api/tasks/$_->[1]$tail", $headers)->json->{detail} }
            [alice => $none], [alice => $gone], [bob => $done], [bob => $late];
        is_deeply [map { s/\Q$none\E|\Q$gone\E|\Q$done\E|\Q$late\E/ID/gr } @said{ $none, $gone, $done, $late }], [($said{$none} =~ s/\Q$none\E/ID/gr) x 4],
            '... nobody learns which';
        refused('alice', 404, 'not_found', $method, "/api/tasks/nonsense$tail", $headers);
    }
    refused('alice', 404, 'not_found', GET => "/api/tasks/$failed/result");
    refused('bob', 404, 'not_found', POST => '/api/tickets', [], {task => $_}) for $done, $none, 'x';
    refused('alice', 404, 'not_found', $_->[0], $_->[1]) for [GET => '/api/'], [POST => '/api/nothing'], [GET => "/api/tasks/$done/nothing"],
        [GET => "/api/internal/tasks/$done?wait_ms=1"], [GET => '/api/run/UPPER'];
};

subtest 'methods that a path does not know: 405 with those that it does' => sub {
    my $doc = $l->http(GET => '/api/openapi.json')->json;
    for my $template (sort keys %{ $doc->{paths} }) {
        my %path = (id => $done, group => 'g', type => 'small', name => 'none');
        (my $path = "/api$template") =~ s/\{(\w+)\}/$path{$1}/g;
        my %known = map { uc $_ => 1 } grep { /^(?:get|put|post|delete)$/ } keys %{ $doc->{paths}{$template} };
        for my $method (grep { !$known{$_} } qw(GET PUT POST DELETE PATCH BREW)) {
            my $r = refused('alice', 405, 'method_not_allowed', $method, $path);
            my @allow = ((grep { $known{$_} } qw(GET)), ($known{GET} && $template !~ m{/run/} ? 'HEAD' : ()), (grep { $known{$_} } qw(POST PUT DELETE)), 'OPTIONS');
            is $r->header('Allow'), join(', ', @allow), "... of $template";
        }
    }
    refused('alice', 405, 'method_not_allowed', POST => '/api/run/small', \@sse);
};

subtest 'what the state does not allow: 409' => sub {
    refused('alice', 409, 'state', POST => "/api/tasks/$_/cancel") for $done, $failed;
    refused('alice', 409, 'state', POST => "/api/tasks/$_/retry") for $done, $late, $running;
    refused('alice', 409, 'state', DELETE => "/api/tasks/$_") for $late, $running;
    refused('alice', 409, 'not_finished', GET => "/api/tasks/$_/result") for $late, $running;
};

subtest 'cursors that a page or lines cannot begin at: 400, 410' => sub {
    for my $form (\@page, \@lines) {
        for my $path ('/api/groups/g/events', '/api/events', "/api/tasks/$done/events") {
            refused('alice', 400, 'cursor_future', GET => $path, [@$form, 'Last-Event-ID' => $future]);
            refused('alice', 410, 'cursor_epoch',  GET => $path, [@$form, 'Last-Event-ID' => $_]) for $foreign, 'nonsense';
        }
        refused('alice', 410, 'cursor_evicted', GET => "$_?last_event_id=$old", $form) for '/api/groups/g/events', '/api/events';
    }
    refused('alice', 410, 'cursor_epoch', GET => "/api/tasks/$done/log?starting_after=$foreign");
};

subtest 'versions that have passed: 412' => sub {
    refused('alice', 412, 'version_clash', PUT => '/api/groups/g/context', ['If-Match' => $_], {a => 1}) for '"1"', '"3"', '"0"', '"nonsense"', '2';
    refused('alice', 412, 'version_clash', PUT => '/api/groups/unused/context', ['If-Match' => $_], {a => 1}) for '*', '"1"';
};

my $large   = {type => 'cat', input => 'x' x $MAX_BODY};
my @chunked = ('Transfer-Encoding' => 'chunked');

subtest 'bodies that are too large: 413' => sub {
    for my $more ([], \@chunked) {
        refused('alice', 413, 'body_too_large', POST => '/api/tasks', [@json, @$more], text_of($large));
        refused('alice', 413, 'body_too_large', POST => '/api/tasks?type=cat', $more, 'x' x ($MAX_RAW + 1));
        refused('alice', 413, 'body_too_large', PUT => '/api/groups/g/context', [@json, @$more], text_of('x' x $MAX_BODY));
        refused('alice', 413, 'body_too_large', POST => '/api/groups/g/events', [@json, @$more], text_of({type => 'a.b', payload => 'x' x $MAX_BODY}));
        refused('alice', 413, 'body_too_large', POST => '/api/tickets', [@json, @$more], text_of({all => 1, x => 'x' x $MAX_BODY}));
    }
    refused('alice', 413, 'body_too_large', POST => '/api/tasks', [], {type => 'small', input => 'x' x 11});
    refused('alice', 413, 'body_too_large', POST => '/api/tasks?type=small', [], 'x' x 11);
    refused('alice', 413, 'body_too_large', GET => '/api/run/small?input=' . 'x' x 11, \@sse);
};

my @bodies = ([POST => '/api/tasks'], [PUT => '/api/groups/g/context'], [POST => '/api/groups/g/events'], [POST => '/api/tickets']);

subtest 'bodies that are no JSON: 400, 415' => sub {
    for (@bodies) {
        my ($method, $path) = @$_;
        my $fine = $path =~ /events/ ? '{"type":"a.b"}' : $path =~ /tickets/ ? '{"all":true}' : '{"type":"cat"}';
        like refused('alice', 400, 'bad_json', $method, $path, \@json, $_->[0])->json->{detail}, qr/line $_->[1], column \d/, '... says where'
            for ['{"type":', 1], ["{\n'a':1}", 2], ["{\"a\":\n\"\xff\"}", 2], ['{} x', 1], ['', 1], ['{"a":"\\ud800"}', 1];
        refused('alice', 415, 'unsupported_media_type', $method, $path, ['Content-Type' => $_], $fine)
            for 'text/plain', 'text/plain;charset=UTF-8', 'text/csv', 'application/octet-stream', 'multipart/form-data; boundary=x', 'application/jsonx', 'x';
        refused('alice', 415, 'unsupported_encoding', $method, $path, [@json, 'Content-Encoding' => $_], $fine) for 'gzip', 'br';
    }
    refused('alice', 415, 'unsupported_media_type', POST => '/api/tasks', ['Content-Type' => 'application/x-www-form-urlencoded'], 'type=cat');
    refused('alice', 415, 'unsupported_encoding', POST => '/api/tasks?type=cat', ['Content-Encoding' => 'gzip'], 'x');
};

# The message names the field.
sub invalid {
    my ($field, @request) = @_;
    my $r = refused('alice', 422, 'invalid_request', @request);
    like +($r->json || {})->{detail}, qr/(?:^|')\Q$field\E\b/, "... names $field";
}

subtest 'values that are wrong: 422, naming the field' => sub {
    my $long = 'x' x 201;
    my @names = ('', '.', '..', "a\nb", "\x7f", $long);
    invalid(group => POST => '/api/tasks', [], {type => 'cat', group => $_}) for @names, 5, [], {};
    invalid(group => POST => '/api/tasks?type=cat&group=' . s/([^\w.])/sprintf '%%%02X', ord $1/ger, [], 'x') for @names;
    invalid(group => GET => '/api/run/small?group=' . s/([^\w.])/sprintf '%%%02X', ord $1/ger, \@sse) for @names;
    invalid(group => POST => '/api/tickets', [], {group => $_}) for @names, 5, [];

    invalid(type => POST => '/api/tasks', [], {input => 1});
    invalid(nope => POST => '/api/tasks', [], {type => 'cat', nope => 1});
    invalid($_->[0] => POST => '/api/tasks', [], {type => 'cat', @$_})
        for [priority => 'x'], [priority => 1.5], [max_attempts => 0], [timeout => 0], [timeout => 'x'], [run_at => -1], [delay => -1], [delay => {}];
    invalid($_->[0] => POST => "/api/tasks?type=cat&$_->[0]=$_->[1]", [], 'x')
        for [priority => 'x'], [max_attempts => 0], [timeout => 0], [run_at => 'x'], [delay => -1];
    invalid(delay => POST => '/api/tasks', [], {type => 'cat', run_at => 1, delay => 1});
    invalid('Idempotency-Key' => POST => '/api/tasks', ['Idempotency-Key' => 'x' x 256], {type => 'cat'});
    invalid(key => GET => '/api/run/small?key=', \@sse);
    refused('alice', 422, 'unknown_type', POST => '/api/tasks', [], {type => $_}) for 'nosuch', '../cat', 'small.conf', '';
    refused('alice', 422, 'unknown_type', POST => '/api/tasks?type=nosuch', [], 'x');
    refused('alice', 422, 'unknown_type', GET => '/api/run/nosuch', \@sse);
    refused('alice', 422, 'idempotency_key_reused', POST => '/api/tasks', ['Idempotency-Key' => 'k'], {type => 'cat', delay => 5});

    invalid(dialect => @$_) for [POST => '/api/tasks?dialect=x', [], {type => 'cat'}], [GET => "/api/tasks/$done?dialect=x"],
        [POST => "/api/tasks/$late/cancel?dialect=x"], [POST => "/api/tasks/$failed/retry?dialect=x"],
        [GET => "/api/tasks/$done/events?dialect=x", \@sse], [GET => '/api/run/small?dialect=x', \@sse];
    invalid(seconds => @$_) for [POST => '/api/tasks?seconds=0', \@sse, {type => 'cat'}], [GET => '/api/run/small?seconds=x', \@sse];
    for my $path ("/api/tasks/$done/events", '/api/groups/g/events', '/api/events') {
        invalid(types => GET => "$path?types=$_", $path =~ /tasks/ ? \@sse : \@page) for 'A', 'task.*,', 'a%20b';
        invalid(limit => GET => "$path?limit=$_", \@page) for '0', 'x', '10001';
        invalid(follow => GET => "$path?follow=x", \@lines);
        for my $form ($path =~ /tasks/ ? \@sse : (), \@lines, \@page) {
            invalid(seconds => GET => "$path?seconds=$_", $form) for 0, -1, 'x', '';
            invalid(since => GET => "$path?since=$_", $form) for -1, 'x', '', '2026-13-01T00:00:00Z', 'now';
        }
    }
    invalid(follow => GET => "/api/tasks/$done/log?follow=2");
    invalid($_->[0] => GET => "/api/tasks?$_->[0]=$_->[1]") for [status => 'done'], [page_size => 0], [page_token => 'x'];
    invalid($_->[0] => GET => "/api/groups?$_->[0]=$_->[1]") for [page_size => 0], [page_size => 'x'], [page_token => '!'];

    invalid(type => POST => '/api/groups/g/events', [], {type => $_, payload => 1})
        for 'one', 'Doc.created', 'doc.', '.doc', 'task.created', 'group.x', 'log.x', 'file.x', 'stream.end', '', 5, "a.b\0";
    invalid(type => POST => '/api/groups/g/events', [], {payload => 1});
    invalid(nope => POST => '/api/groups/g/events', [], {type => 'a.b', nope => 1});

    invalid(ttl => POST => '/api/tickets', [], {task => $done, ttl => $_}) for 0, -1, 'x', [];
    invalid(all => POST => '/api/tickets', [], {all => 5});
    invalid(nope => POST => '/api/tickets', [], {task => $done, nope => 1});
    invalid(cookie => POST => '/api/tickets?cookie=x', [], {task => $done});
    refused('alice', 422, 'invalid_request', POST => '/api/tickets', [], $_) for {}, {ttl => 5}, {task => $done, group => 'g'}, [], {run => 5};
    refused('alice', 422, 'unknown_type', POST => '/api/tickets', [], {run => 'nosuch'});
    refused('alice', 422, 'invalid_request', POST => $_, \@json, '5') for '/api/tasks', '/api/groups/g/events', '/api/tickets';
};

subtest 'paths that are none: 400' => sub {
    refused('alice', 400, 'bad_request', @$_) for [GET => '/api/tasks/%0a'], [DELETE => "/api/tasks/x/../$done"], [POST => "/api/tasks/$done/%2e%2e/$done/retry"],
        [GET => '/api/groups/%ff'], [PUT => '/api/groups/%2e%2e/context', [], {}], [GET => '/api' . '/x' x 40];
};

subtest 'queries that are none: 400' => sub {
    for my $bad ('%ff', '%zz', '%') {
        refused('alice', 400, 'bad_request', @$_) for [GET => "/api/tasks?group=$bad"], [POST => "/api/tasks?type=cat&group=$bad", [], 'x'],
            [GET => "/api/run/small?input=$bad", \@sse], [GET => "/api/events?types=$bad", \@sse], [DELETE => "/api/tasks/$done?of_nobody=$bad"];
    }
};

subtest 'what a stream of events must be asked for: 406' => sub {
    refused('alice', 406, 'not_acceptable', GET => '/api/run/small?input=1', $_) for \@page, [Accept => 'text/event-stream;q=0'], [Accept => 'text/event-stream;q=0, */*'],
        [Accept => 'text/html, image/*;q=0.5'], [Accept => '*/*;q=0'];
};

# What makes a task for an EventSource, which gives up for good on any status but 200.
sub comes_back {
    my ($who) = @_;
    my $r = $l->http(GET => '/api/run/small?input=1', headers => [as($who), @sse]);
    is $r->status . ' ' . $r->header('Content-Type'), '200 text/event-stream; charset=utf-8', 'run: 200';
    like $r->body, qr/\Aretry: \d+\n\n(?:id: \S+\n)?data: \{"type":"stream\.end".*"overloaded".*\}\n\n\z/, '... and why not now';
    ok dump_all() eq $before, '... nothing is written';
}

subtest 'a queue that is full: 429' => sub {
    refused('full', 429, 'rate_limited', @$_) for @changing[0 .. 3];
    comes_back('full');
    refused('full', 429, 'rate_limited', POST => "/api/tasks/$stuck/retry");
    refused('full', 429, 'rate_limited', POST => '/api/groups/later/retry');
    is $l->http(POST => '/api/groups/g/retry', headers => [as('full')])->json->{retried}, 0, 'where there is nothing to retry, nothing is refused';
    my $free = $l->http(GET => '/api/tasks?status=pending', headers => [as('full')])->json->{tasks}[0]{id};
    $l->http(POST => "/api/tasks/$free/cancel", headers => [as('full')]);
    is $l->http(POST => "/api/tasks/$stuck/retry", headers => [as('full')])->status, 202, 'with room in the queue it is retried';
    my $ran = wait_until { $l->http(GET => "/api/tasks/$stuck", headers => [as('full')])->json->{status} eq 'completed' } 20;
    ok $ran, '... and runs';
    $before = dump_all();
};

subtest 'a database that is busy: 503, and nothing half-written' => sub {
    open my $lock, '>>', $l->state . '/leat.db.lock' or die "lock: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    refused('alice', 503, 'database_busy', @$_) for grep { $_->[0] ne 'GET' } @changing, @publishing, @tickets;
    comes_back('alice');
    is $l->http(GET => "/api/tasks/$done", headers => [as('alice')])->status, 200, 'reading goes on';
    flock $lock, LOCK_UN;
    close $lock;
    is $l->http(POST => '/api/tickets', json => {task => $done}, headers => [as('alice')])->status, 201, 'and then writing';
    $before = dump_all();
};

subtest 'HEAD is refused as GET is, without a body' => sub {
    for ([401, ''], [404, 'alice', "/api/tasks/$none"], [403, 'creator'], [422, 'alice', '/api/tasks?page_size=x']) {
        my ($status, $who, $path) = @$_;
        my $r = $l->http(HEAD => $path // '/api/tasks', headers => [$who ? as($who) : ()]);
        is $r->status . ' ' . $r->header('Content-Type'), "$status application/problem+json", "HEAD $status";
    }
};

# Where the programs are away the web server itself answers, and in the same form.
subtest 'nobody is there: 503, and an EventSource comes back' => sub {
    # without connections that nginx has kept
    my (undef, $back) = $l->change_site(sub { s/^\s*keepalive .*\n//m }, 'leat-upstream.conf');
    ok $back, 'nginx was started anew';
    my $socket = $l->state . '/leat.sock';
    rename $socket, "$socket.away" or die "rename: $!";
    my $away = sub {
        my ($method, $path, $headers, $body) = @_;
        my $r = $l->http($method => $path, headers => [as('alice'), @{ $headers || [] }], ref $body ? (json => $body) : defined $body ? (body => $body) : ());
        my $j = $r->json || {};
        is join(' ', $r->status, $r->header('Content-Type'), $j->{status} // '', $j->{code} // '', $j->{retryable} // ''),
            '503 application/problem+json 503 unavailable 1', "$method $path";
        like $r->header('Retry-After'), qr/^[1-9]\d*$/, '... Retry-After';
        is $r->header('Cache-Control'), 'no-store', '... is not kept';
        is $r->header('X-Request-ID'), $j->{request_id}, '... by its name';
        is $r->header('X-Content-Type-Options'), 'nosniff', '... is what it says';
    };
    my @post = grep { $_->[0] ne 'GET' } @changing;
    $away->(@$_) for @post, @publishing, [GET => '/api/health'], [GET => "/api/tasks/$done"], [GET => "/api/tasks/$done", [Prefer => 'wait=5']],
        [GET => '/api/events', \@page], [GET => '/api/events', \@lines];
    for my $path ("/api/tasks/$done/events", '/api/groups/g/events', '/api/events', '/api/run/small?input=1') {
        my $s = $l->stream($path, headers => [as('alice')]);
        is $s->status, 200, "$path: 200";
        is $s->header('Content-Type'), 'text/event-stream; charset=utf-8', '... a stream';
        is $s->header('Cache-Control'), 'no-store, no-transform', '... is not kept';
        my $retry = $s->next_frame;
        like $retry->{retry}, qr/^\d+$/, '... says when to come back';
        my $end = $s->next_frame;
        is $end->{json}{type} . ' ' . $end->{json}{payload}{reason}, 'stream.end overloaded', '... and why';
        is $end->{json}{payload}{retry_ms}, $retry->{retry}, '... in both';
        cmp_ok abs($end->{json}{ts} / 1000 - time), '<', 60, '... at that time';
    }
    rename "$socket.away", $socket or die "rename: $!";
    is $l->http(GET => '/api/health')->status, 200, 'they are back';
    ok dump_all() eq $before, 'nothing was written';
};

unlike $l->log, qr{(?:web|runner): pid \d+ (?:killed by signal|exited with status)}, 'no program had to be started again';
close $to;
$l->stop;

$l = Leat->start(conf => "[database]\nbusy_ms = 20000\n");

subtest 'a program dies with a request: what became of it is not known' => sub {
    open my $lock, '>>', $l->state . '/leat.db.lock' or die "lock: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    my @pids = $l->pids('web');
    my $killer = fork // die "fork: $!";
    if (!$killer) {
        # for the request: figures wait too, but give up at once
        my $seen  = 0;
        my $waits = wait_until {
            my $locks = Leat::slurp('/proc/locks');
            $seen = (grep { $locks =~ /-> FLOCK +ADVISORY +WRITE $_ / } @pids) ? $seen + 1 : 0;
            $seen > 25
        } 15;
        kill KILL => @pids if $waits;
        POSIX::_exit(0);
    }
    my $r = $l->http(POST => '/api/tasks', json => {type => 'wordcount'});
    waitpid $killer, 0;
    flock $lock, LOCK_UN;
    my $j = $r->json || {};
    is join(' ', $r->status, $r->header('Content-Type'), $j->{status} // '', $j->{code} // '', $j->{retryable} // ''),
        '500 application/problem+json 500 outcome_unknown 0', 'it is said so';
    is $r->header('Retry-After'), undef, 'it is not to be sent again';
    is $r->header('X-Request-ID'), $j->{request_id}, 'it has its name';
    is $r->header('Cache-Control'), 'no-store', 'and is not kept';
    my $back = wait_until { $l->http(GET => '/api/health')->status == 200 } 10;
    ok $back, 'and another program answers';
    is_deeply $l->http(GET => '/api/tasks')->json->{tasks}, [], 'this one had come to nothing';
};

$l->stop;
done_testing;
