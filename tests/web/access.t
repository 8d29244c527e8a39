# Who may do what: tokens and their scopes, owners, tickets, JWTs; what ends when a right ends; and that
# no secret is ever said again.
use strict;
use warnings;
use Leat;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256 hmac_sha512);
use File::Basename qw(dirname);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);

my $top  = abs_path(dirname(__FILE__) . '/../..');
my $json = JSON::PP->new->utf8->canonical;
my $auth = <<'CONF';
[auth]
anonymous =
[stream]
heartbeat = 0.5
CONF
my $l = Leat->start(conf => $auth);

my @secrets;    # all that was ever given out
my $said = '';  # all that a client was ever answered, but for those it was for

# A token by the command line.
sub token {
    my ($owner, @args) = @_;
    my $r = $l->leat('token', 'add', '--owner', $owner, @args);
    $r->{status} == 0 && $r->{out} =~ /\Aleat_[\w-]{43}\z/ or die "token add: $r->{out} $r->{err}";
    push @secrets, $r->{out};
    return $r->{out};
}

sub bearer { return (Authorization => "Bearer $_[0]") }

# A request with a token (undef: none). Its answer is kept for the search at the end.
sub ask {
    my ($token, $method, $path, %opt) = @_;
    $opt{headers} = [defined $token ? bearer($token) : (), Accept => 'application/json', @{ $opt{headers} || [] }];
    my $r = $l->http($method => $path, %opt);
    $said .= join "\n", $r->body, %{ $r->headers }, '';
    return $r;
}

sub refused_as {
    my ($r, $status, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(join(' ', $r->status, $r->json ? $r->json->{code} // '' : $r->body), "$status $code", $name);
}

# A task of this token's owner that has finished; group as given.
sub finished_task {
    my ($token, %fields) = @_;
    my $id = ask($token, POST => '/api/tasks', json => {type => 'wordcount', input => 'a b', %fields})->json->{task_id};
    wait_until { ask($token, GET => "/api/tasks/$id")->json->{status} eq 'completed' } or die "$id does not finish";
    return $id;
}

# The rows of the one table of routes: [method, pattern, scope, ...].
sub routes {
    my $text = Leat::slurp("$top/cgi-bin/routes.c");
    my @rows;
    while ($text =~ /\{(METHOD_[A-Z_| ]+),\s*"([^"]+)",\s*([^,]+),\s*[^,]+,\s*TICKET_\w+,\s*\w+,\s*\w+\}/g) {
        my ($methods, $pattern, $scopes) = ($1, $2, $3);
        push @rows, [$_, $pattern, map { lc } $scopes =~ /AUTH_(\w+)/g] for $methods =~ /METHOD_(\w+)/g;
    }
    @rows == (() = $text =~ /\bMETHOD_/g) or die 'cgi-bin/routes.c: a row is written otherwise';
    return @rows;
}

sub path_of {
    my ($pattern, %with) = @_;
    $pattern =~ s/\{(\w+)\}/$with{$1} \/\/ 'x'/ge;
    return "/api$pattern";
}

my @scopes = qw(create read publish admin);
my $nobody = '0190a6b4-7c1e-7abc-8def-0123456789ab';
my %full   = map { $_ => token($_) } qw(alice bob);
my $admin  = token('root', '--scope', 'create,read,publish,admin');

subtest 'each scope opens its routes and no others' => sub {
    my @routes = routes();
    cmp_ok scalar @routes, '>', 15, 'the table of routes is read';
    my %one = map { $_ => token('single', '--scope', $_) } @scopes;
    my $wrong = $full{alice} =~ s/.$/$full{alice} =~ m{A$} ? 'B' : 'A'/er;
    push @secrets, $wrong;
    for my $row (@routes) {
        my ($method, $pattern, @needed) = @$row;
        my $path = path_of($pattern, id => $nobody, type => 'wordcount');
        my $try  = sub { ask($_[0], $method => $path, $method =~ /POST|PUT/ ? (body => '{}') : ()) };
        if (!@needed) {
            unlike $try->(undef)->status, qr/^40[13]$/, "$method $pattern is open";
            next;
        }
        my $r = $try->(undef);
        refused_as $r, 401, 'unauthorized', "$method $pattern without a credential";
        is $r->header('WWW-Authenticate'), 'Bearer', '... says which one';
        $r = $try->($wrong);
        refused_as $r, 401, 'invalid_token', "$method $pattern with a wrong token";
        is $r->header('WWW-Authenticate'), 'Bearer error="invalid_token"', '... says so';
        for my $scope (@scopes) {
            my @missing = $scope eq 'admin' ? () : grep { $_ ne $scope } @needed;
            $r = $try->($one{$scope});
            if (@missing) { refused_as $r, 403, 'insufficient_scope', "$method $pattern with $scope" }
            else          { unlike $r->status, qr/^40[13]$/, "$method $pattern with $scope: " . $r->status }
        }
    }
};

subtest 'what is no credential proves nothing' => sub {
    for my $header ('Bearer', 'Bearer ', 'Bearer x', "bearer $full{alice}x", "Bearer $full{alice} x", 'Bearer a.b.c') {
        refused_as ask(undef, GET => '/api/tasks', headers => [Authorization => $header]), 401, 'invalid_token',
            $header =~ s/leat_\S+/TOKEN/r;
    }
    for my $header ('Basic YTpi', "Token $full{alice}", $full{alice}) {
        refused_as ask(undef, GET => '/api/tasks', headers => [Authorization => $header]), 401, 'unauthorized',
            $header =~ s/leat_\S+/TOKEN/r;
    }
    is ask(undef, GET => '/api/tasks', headers => [Authorization => "bearer $full{alice}"])->status, 200,
        'the scheme has no case';
    refused_as ask(undef, GET => "/api/tasks?ticket=$full{alice}"), 401, 'invalid_token', 'a token is no ticket';
    refused_as ask(undef, GET => "/api/tasks?access_token=$full{alice}"), 401, 'unauthorized', 'nor an access_token';
};

subtest 'one owner never sees another\'s' => sub {
    my $task = finished_task($full{alice}, group => 'shared');
    ok ask($full{alice}, GET => "/api/tasks/$task/result")->status == 200, 'alice has a task';
    my @wide = map { token('bob', '--scope', $_) } 'create,read,publish';
    for my $row (routes()) {
        my ($method, $pattern) = @$row;
        next unless $pattern =~ /\{id\}/;
        my $r = ask($wide[0], $method => path_of($pattern, id => $task), $method eq 'POST' ? (body => '{}') : ());
        my $never = ask($wide[0], $method => path_of($pattern, id => $nobody), $method eq 'POST' ? (body => '{}') : ());
        is $r->status, 404, "$method $pattern of alice's is 404 to bob";
        delete $_->json->{request_id} for $r, $never;
        is_deeply $r->json, $never->json, '... as one that never was';
    }
    refused_as ask($full{bob}, POST => '/api/tickets', json => {task => $task}), 404, 'not_found', 'no ticket either';
    is ask($full{alice}, GET => "/api/tasks/$task")->status, 200, 'and it is still there';

    is_deeply ask($full{bob}, GET => '/api/tasks')->json->{tasks}, [], 'his list is empty';
    is_deeply ask($full{bob}, GET => '/api/tasks?group=shared')->json->{tasks}, [], 'also by group';
    is_deeply ask($full{bob}, GET => '/api/groups')->json->{groups}, [], 'he has no group';
    my $group = ask($full{bob}, GET => '/api/groups/shared')->json;
    is "$group->{owner} $group->{status} $group->{total}", 'bob idle 0', 'a group of that name is his own, and empty';
    is_deeply ask($full{bob}, GET => "$_?last_event_id=earliest")->json->{events}, [], "$_: no event"
        for '/api/events', '/api/groups/shared/events';
    for my $path ('/api/groups/shared', '/api/groups/shared/events', '/api/groups/shared/context') {
        refused_as ask($full{bob}, GET => "$path?owner=alice"), 403, 'insufficient_scope', "$path?owner=alice";
    }
    is ask($full{bob}, GET => '/api/groups/shared?owner=bob')->status, 200, 'he may name himself';

    my %streams = map { $_ => $l->stream($_, headers => { bearer($full{bob}) }) } '/api/events', '/api/groups/shared/events';
    is $streams{$_}->next_event(5)->{json}{type}, 'stream.connected', "bob watches $_" for sort keys %streams;
    my $mine = $l->stream('/api/events', headers => { bearer($full{alice}) });
    finished_task($full{alice}, group => 'shared');
    wait_until {
        my $event = $mine->next_event(5);
        $event && ($event->{json}{payload}{to} // '') eq 'completed'
    };
    for my $path (sort keys %streams) {
        my $frame = $streams{$path}->next_frame(2);
        my @seen = grep { defined } $frame ? $frame->{data} : 'no heartbeat';
        is_deeply \@seen, [], "and hears nothing of alice's on $path";
        $streams{$path}->close;
    }
    $mine->close;
};

subtest 'an admin\'s reads span owners' => sub {
    my $task = finished_task($full{alice}, group => 'span');
    finished_task($full{bob}, group => 'span');
    is ask($admin, GET => "/api/tasks/$task")->json->{owner}, 'alice', 'a task';
    my %owners = map { $_->{owner} => 1 } @{ ask($admin, GET => '/api/tasks')->json->{tasks} };
    ok $owners{alice} && $owners{bob}, 'lists';
    is ask($admin, GET => '/api/groups/span?owner=alice')->json->{total}, 1, 'a group by its owner';
    is ask($admin, GET => '/api/groups/span')->json->{total}, 0, 'without, it is the admin\'s own';
    my %seen = map { ($_->{task_id} // '') => 1 } @{ ask($admin, GET => '/api/events?last_event_id=earliest')->json->{events} };
    ok $seen{$task}, 'events';
    my $s = $l->stream('/api/events', headers => { bearer($admin) });
    $s->next_event(5);
    my $later = finished_task($full{bob});
    ok wait_until(sub { my $e = $s->next_event(5) or return 1; ($e->{json}{task_id} // '') eq $later }), 'a stream';
    $s->close;

    # what an admin makes for others to hold is no admin's, but for the one task that it names
    my $by = ask_ticket($admin, task => $task);
    is ask(undef, GET => "/api/tasks/$task?ticket=$by->{ticket}")->json->{owner}, 'alice', 'a ticket for another\'s task reads it';
    is ask(undef, GET => "/api/tasks/$task$_?ticket=$by->{ticket}")->status, 200, "... $_" for qw(/result /log /events);
    like $l->stream($by->{url})->next_event(5)->{json}{type}, qr/^stream\.connected$/, '... and its stream';
    refused_as ask(undef, GET => "$_?ticket=$by->{ticket}"), 403, 'ticket_scope', "... and not $_"
        for "/api/tasks/$later", '/api/tasks', '/api/events', '/api/stats', '/api/groups/span';
    refused_as ask(undef, $_->[0] => "/api/tasks/$task$_->[1]?ticket=$by->{ticket}"), 403, 'ticket_scope', "... nor to $_->[0]$_->[1]"
        for [DELETE => ''], [POST => '/retry'], [POST => '/cancel'];
    my $chief = token('chief', '--scope', 'admin', '--name', 'to-be-revoked');
    my $brief = ask_ticket($chief, task => $task);
    is ask(undef, GET => "/api/tasks/$task?ticket=$brief->{ticket}")->status, 200, 'one by another admin';
    $l->leat(qw(token revoke to-be-revoked));
    refused_as ask(undef, GET => "/api/tasks/$task?ticket=$brief->{ticket}"), 401, 'invalid_token', '... goes with what made it';
    refused_as ask($admin, POST => '/api/tickets', json => {task => $nobody}), 404, 'not_found', 'no ticket for what is not there';
    my $t = ask_ticket($admin, all => JSON::PP::true);
    is_deeply ask(undef, GET => "/api/tasks?ticket=$t->{ticket}")->json->{tasks}, [], 'its ticket sees its own only';
};

subtest 'admin brings the other scopes' => sub {
    my $chief = token('chief', '--scope', 'admin');
    my $id = finished_task($chief, group => 'its-own');
    is ask($chief, POST => '/api/groups/its-own/events', json => {type => 'doc.created'})->status, 202, 'it publishes';
    is ask($chief, POST => '/api/tickets', json => {run => 'wordcount'})->status, 201, 'it may have a ticket for run';
    is ask($chief, GET => '/api/stats')->status, 200, 'and is an admin';
    my ($row) = grep { $_->{owner} eq 'chief' && $_->{state} eq 'valid' } @{ Leat::decode($l->leat(qw(token list --json))->{out})->{tokens} };
    is_deeply $row->{scopes}, [qw(create read publish admin)], 'which the list says';
};

# ---- the end of a right --------------------------------------------------------------------------

sub ended_as {
    my ($stream, $seconds) = @_;
    my $end = $stream->next_event($seconds, 'stream.end') or return 'no end';
    $stream->next_frame(2);
    return $end->{json}{payload}{reason} . ($stream->eof ? '' : ', but goes on') . (defined $end->{id} ? ', with an id' : '');
}

subtest 'a stream ends when its token expires' => sub {
    my $made  = time;
    my $token = token('alice', '--expires', '3s');
    my %open  = map { $_ => $l->stream("/api/events", headers => { bearer($token), Accept => $_ }) } 'text/event-stream';
    my $lines = $l->stream('/api/events?follow=1', headers => [bearer($token), Accept => 'application/x-ndjson']);
    my $poll  = time;
    my $r = $l->http(GET => '/api/events', headers => [bearer($token), Accept => 'application/json', Prefer => 'wait=20']);
    my $waited = time - $poll;
    is $r->status, 200, 'a poll is answered';
    cmp_ok $waited, '<', 4.5, '... when it expires, not later';
    is ended_as($open{'text/event-stream'}, 5), 'expired', 'SSE: stream.end says so';
    cmp_ok abs(time - $made - 3), '<', 1.5, '... at its time';
    my $last = '';
    while (defined(my $line = $lines->next_line(3))) { $last = $line if $line =~ /stream\.end/ }
    like $last, qr/"reason":"expired"/, 'NDJSON too';
    refused_as ask($token, GET => '/api/tasks'), 401, 'invalid_token', 'and the token is worth nothing';
    like ask($token, GET => '/api/tasks')->json->{detail}, qr/expired/, '... with the reason';
};

subtest 'a stream ends when its token is revoked' => sub {
    my $token = token('carol', '--name', 'carol-phone');
    my $other = token('carol');
    my $busy  = $l->stream('/api/events', headers => { bearer($token) });
    my $quiet = $l->stream('/api/groups/quiet/events', headers => { bearer($token) });
    my $stays = $l->stream('/api/groups/quiet/events', headers => { bearer($other) });
    my $t     = ask_ticket($other, group => 'quiet');
    my $by    = $l->stream($t->{url});
    $_->next_event(5) for $busy, $quiet, $stays, $by;
    is $l->leat(qw(token revoke carol-phone))->{status}, 0, 'revoked by its name';
    my $at = time;
    is ended_as($quiet, 5), 'revoked', 'a quiet stream ends';
    cmp_ok time - $at, '<', 3, '... within about a heartbeat';
    is ended_as($busy, 5), 'revoked', 'another too';
    is ended_as($by, 5),   'revoked', 'and one by a ticket of the same owner';
    my $frame = $stays->next_frame(2);
    ok $frame && defined $frame->{comment}, 'that of another token goes on';
    refused_as ask($token, GET => '/api/tasks'), 401, 'invalid_token', 'the token is worth nothing';
    like ask($token, GET => '/api/tasks')->json->{detail}, qr/revoked/, '... with the reason';
    is ask($other, GET => '/api/tasks')->status, 200, 'the other is good';
    refused_as ask(undef, GET => "/api/groups/quiet?ticket=$t->{ticket}"), 401, 'invalid_token', 'the ticket is not';
    $_->close for $stays;
};

subtest 'a stream ends though it is busy' => sub {
    $l->job(flood => "#!/bin/sh\ni=0\nwhile [ \$i -lt 4000 ]; do i=\$((i+1)); echo \"{\\\"type\\\":\\\"x.y\\\",\\\"payload\\\":{\\\"n\\\":\$i}}\" >&3; [ \$((i % 50)) = 0 ] && sleep 0.05; done\n");
    my $token = token('dave', '--name', 'dave-busy');
    my $s  = $l->stream('/api/events', headers => { bearer($token) });
    my $id = ask($token, POST => '/api/tasks', json => {type => 'flood'})->json->{task_id};
    ok $s->next_event(5, 'x.y'), 'events flow';
    is $l->leat(qw(token revoke dave-busy))->{status}, 0, 'revoked meanwhile';
    is ended_as($s, 8), 'revoked', 'it ends all the same';
};

# ---- tickets -------------------------------------------------------------------------------------

sub ask_ticket {
    my ($token, @what) = @_;
    my $r = $l->http(POST => '/api/tickets', json => {@what}, headers => [bearer($token)]);
    $r->status == 201 or die 'no ticket: ' . $r->status . ' ' . $r->body;
    push @secrets, $r->json->{ticket};
    return $r->json;
}

subtest 'a ticket is what was asked for' => sub {
    my $task = finished_task($full{alice}, group => 'a b/c');
    my $now  = time * 1000;
    my %urls = (
        task  => [$task,           "/api/tasks/$task/events"],
        group => ['a b/c',         '/api/groups/a%20b%2Fc/events'],
        all   => [JSON::PP::true,  '/api/events'],
        run   => ['wordcount',     '/api/run/wordcount'],
    );
    for my $kind (sort keys %urls) {
        my $t = ask_ticket($full{alice}, $kind => $urls{$kind}[0]);
        like $t->{ticket}, qr/\Aleat_[\w-]{43}\z/, "$kind: a secret";
        is $t->{url}, "$urls{$kind}[1]?ticket=$t->{ticket}", '... a URL that works as it is';
        cmp_ok abs($t->{expires_at} - $now - 300_000), '<', 20_000, '... for five minutes';
    }
    for ([60 => 60], [0.5 => 0.5], [100_000 => 3600], [1e300 => 3600], [undef, 300]) {
        my ($ttl, $lives) = @$_;
        my $t = ask_ticket($full{alice}, all => JSON::PP::true, ttl => $ttl);
        cmp_ok abs($t->{expires_at} - time * 1000 - $lives * 1000), '<', 5_000, 'ttl ' . ($ttl // 'null') . ": $lives s";
    }
    my $short = token('alice', '--expires', '20s');
    my $t = ask_ticket($short, all => JSON::PP::true);
    cmp_ok $t->{expires_at} - time * 1000, '<=', 20_000, 'never longer than its maker';

    for (['{}', 422], ['[]', 422], ['{', 400], ['{"all":1}', 422], ['{"all":false}', 422], ['{"task":7}', 422], ['{"group":""}', 422],
        ['{"group":"a\\n"}', 422], ["{\"all\":true,\"task\":\"$task\"}", 422], ['{"all":true,"ttl":0}', 422], ['{"all":true,"ttl":"5"}', 422],
        ['{"all":true,"scope":"admin"}', 422], ['{"run":"nothing-here"}', 422], ['{"run":"../x"}', 422], ["{\"task\":\"$nobody\"}", 404],
        ['{"task":"x"}', 404], ['x' x 1_048_577, 413]) {
        is ask($full{alice}, POST => '/api/tickets', body => $_->[0])->status, $_->[1], substr $_->[0], 0, 40;
    }
    refused_as ask(token('alice', '--scope', 'read'), POST => '/api/tickets', json => {run => 'wordcount'}), 403,
        'insufficient_scope', 'who may not create gets no ticket to run';
    is ask(token('alice', '--scope', 'read'), POST => '/api/tickets', json => {all => JSON::PP::true})->status, 201, 'but one to read';
};

subtest 'a ticket opens what it names, to readers' => sub {
    my ($one, $two) = map { finished_task($full{alice}, group => "g$_") } 1, 2;
    my %tickets = (
        task  => ask_ticket($full{alice}, task  => $one),
        group => ask_ticket($full{alice}, group => 'g1'),
        all   => ask_ticket($full{alice}, all   => JSON::PP::true),
        run   => ask_ticket($full{alice}, run   => 'wordcount'),
    );
    my %opens = (
        task  => ["/api/tasks/$one", "/api/tasks/$one/events", "/api/tasks/$one/result", "/api/tasks/$one/log"],
        group => ['/api/groups/g1', '/api/groups/g1/events', '/api/groups/g1/context'],
        all   => ['/api/tasks', '/api/events', '/api/groups', '/api/groups/g2', "/api/tasks/$one", "/api/tasks/$two/events"],
        run   => ["/api/tasks/$one", "/api/tasks/$one/events", "/api/tasks/$two/result"],
    );
    my @reads = ('/api/tasks', '/api/events', '/api/groups', map {; "/api/tasks/$_", "/api/tasks/$_/events", "/api/tasks/$_/result" } $one, $two);
    push @reads, map {; "/api/groups/$_", "/api/groups/$_/events", "/api/groups/$_/context" } qw(g1 g2);
    push @reads, map { $_->[1] } grep { $_->[0] eq 'GET' && $_->[1] =~ m{^/(types|stats|metrics)$} && @$_ > 2 } routes();
    for my $kind (sort keys %tickets) {
        my $secret = $tickets{$kind}{ticket};
        for my $how (['query', sub { ["$_[0]?ticket=$secret"] }], ['cookie', sub { [$_[0], headers => [Cookie => "x=y; leat_ticket=$secret"]] }]) {
            my %open = map { $_ => 1 } @{ $opens{$kind} };
            $open{$_} = 1 for $kind eq 'all' ? grep { m{^/api/(tasks|groups|events)} } @reads : ();
            $open{$_} = 1 for $kind eq 'run' ? grep { m{^/api/tasks/} } @reads : ();
            my @wrong;
            for my $path (@reads) {
                my ($at, @with) = @{ $how->[1]($path) };
                $at = "/api$at" if $at !~ m{^/api};
                my $status = ask(undef, GET => $at, @with)->status;
                push @wrong, "$path: $status" if $open{$path} ? $status !~ /^20[04]$/ : $status !~ /^40[34]$/;
            }
            is_deeply \@wrong, [], "$kind by $how->[0]: what it must open and what not";
            @wrong = ();
            for (routes()) {
                my ($method, $pattern, @needed) = @$_;
                next if $method eq 'GET' || !@needed;
                my ($at, @with) = @{ $how->[1](path_of($pattern, id => $one, group => 'g1', type => 'wordcount')) };
                my $status = ask(undef, $method => $at, @with, body => '{}')->status;
                push @wrong, "$method $at: $status" unless $status =~ /^40[34]$/;
            }
            is_deeply \@wrong, [], '... and it changes nothing';
        }
    }
    is ask(undef, GET => "/api/run/gzip?ticket=$tickets{run}{ticket}")->status, 403, 'no other type runs by it';
    my $bobs = finished_task($full{bob});
    is ask(undef, GET => "/api/tasks/$bobs?ticket=$tickets{$_}{ticket}")->status =~ /^40[34]$/, 1, "$_: nothing of bob's"
        for sort keys %tickets;
    ok $l->http(HEAD => "/api/tasks/$one?ticket=$tickets{task}{ticket}")->status == 200, 'HEAD is reading';
    is ask($full{bob}, GET => "/api/tasks/$one?ticket=$tickets{task}{ticket}")->status, 404, 'a token beside it decides';

    my $s = $l->stream($tickets{task}{url});
    is $s->status, 200, 'its url is a stream';
    is_deeply [map { $_->{json}{type} } ($s->rest(5))[0, -1]], ['stream.connected', 'stream.end'], '... of that task';
};

subtest 'a ticket ends' => sub {
    my $t = ask_ticket($full{alice}, group => 'brief', ttl => 2);
    my $s = $l->stream($t->{url});
    is ended_as($s, 5), 'expired', 'and its stream with it';
    refused_as ask(undef, GET => "/api/groups/brief?ticket=$t->{ticket}"), 401, 'invalid_token', 'then it opens nothing';
    $s = $l->stream($t->{url});
    is $s->status, 401, 'nor does an EventSource get in again';
};

subtest 'a ticket as a cookie' => sub {
    my $task = finished_task($full{alice}, group => 'c d');
    my %path = (task => [$task, "/api/tasks/$task"], group => ['c', '/api/groups/c'], all => [JSON::PP::true, '/api'], run => ['wordcount', '/api']);
    for my $kind (sort keys %path) {
        my $r = $l->http(POST => '/api/tickets?cookie=1', json => {$kind => $path{$kind}[0], ttl => 60}, headers => [bearer($full{alice})]);
        is $r->status, 201, "$kind: made";
        my ($secret, $rest) = ($r->header('Set-Cookie') // '') =~ /\Aleat_ticket=(leat_[\w-]{43}); (.*)\z/;
        push @secrets, $secret;
        is $rest, "Path=$path{$kind}[1]; Max-Age=60; HttpOnly; SameSite=Strict", '... with its bounds';
        unlike $r->body, qr/leat_/, '... and not in the body';
        is join(' ', sort keys %{ $r->json }), 'expires_at url', '... which says the rest';
        my $url = $r->json->{url};
        next if $kind eq 'run';
        my $s = $l->stream($url, headers => {Cookie => "leat_ticket=$secret"});
        is $s->status, 200, '... it opens its URL';
        $s->close;
    }
    my $r = $l->http(POST => '/api/tickets?cookie=1', json => {group => 'a b'}, headers => [bearer($full{alice})]);
    like $r->header('Set-Cookie'), qr{; Path=/api/groups; }, 'a name that can be written in two ways is no part of the path';
    push @secrets, $r->header('Set-Cookie') =~ /=(leat_[\w-]+)/;
    is ask($full{alice}, POST => '/api/tickets?cookie=yes', json => {all => JSON::PP::true})->status, 422, 'cookie is 1 or 0';
};

# ---- anonymous and REMOTE_USER -------------------------------------------------------------------

subtest 'a wrong credential is never anonymous' => sub {
    $l->down;
    $l->conf("[auth]\nanonymous = guest\nanonymous_scope = create,read\n");
    $l->up;
    is ask(undef, GET => '/api/tasks')->status, 200, 'anonymous is somebody here';
    refused_as ask(undef, POST => '/api/groups/g/events', json => {type => 'a.b'}), 403, 'insufficient_scope', 'with its scopes only';
    refused_as ask('leat_nonsense', GET => '/api/tasks'), 401, 'invalid_token', 'a wrong token';
    refused_as ask('a.b.c',         GET => '/api/tasks'), 401, 'invalid_token', 'a JWT where there is no key';
    refused_as ask(undef, GET => '/api/tasks?ticket=x'), 401, 'invalid_token', 'a wrong ticket';
    refused_as ask(undef, GET => '/api/tasks', headers => [Cookie => 'leat_ticket=x']), 401, 'invalid_token', 'a wrong cookie';
    refused_as ask(undef, GET => '/api/tasks', headers => [Authorization => 'Basic YTpi']), 401, 'unauthorized', 'Basic';
    is ask($full{alice}, GET => '/api/health')->status, 200, 'an open route stays open';
    is ask('leat_nonsense', GET => '/api/health')->status, 200, '... to everybody';
    is ask(undef, GET => '/api/tasks', headers => ['Remote-User' => 'alice'])->json->{tasks}[0], undef, 'a header is no REMOTE_USER';
    is ask(undef, POST => '/api/tasks', json => {type => 'wordcount', input => ''}, headers => ['LEAT-AUTH-REMOTE-USER' => 'yes'])->json->{task}{owner},
        'guest', '... and no setting';
};

subtest 'REMOTE_USER of the web server' => sub {
    $l->down;
    $l->conf("[auth]\nanonymous = guest\nanonymous_scope = admin\nremote_user = yes\n");
    $l->up;
    my @by = (Authorization => 'Basic ' . MIME::Base64::encode_base64('rosa:x', ''));
    my $owner = sub { ask(undef, POST => '/api/tasks', json => {type => 'wordcount', input => ''}, headers => [@_])->json->{task}{owner} };
    is $owner->(@by), 'rosa', 'is the owner, where it is trusted';
    is $owner->(), 'guest', 'without one, anonymous, whose scope admin is enough to create';
    refused_as ask(undef, GET => '/api/stats', headers => [@by]), 403, 'insufficient_scope', 'it is no admin'
        if grep { $_->[1] eq '/stats' } routes();
    is $owner->(bearer($full{alice})), 'alice', 'a token comes first';
    refused_as ask(undef, GET => '/api/tasks', headers => [Authorization => 'Basic ' . MIME::Base64::encode_base64("a\tb:x", '')]), 422,
        'invalid_request', 'a name that is none';
};

# ---- JSON Web Tokens -----------------------------------------------------------------------------

sub openssl {
    my (@args) = @_;
    open my $out, '-|', 'openssl', @args or die "openssl: $!";
    binmode $out;
    my $bytes = do { local $/; <$out> };
    close $out or die "openssl @args: $?";
    return $bytes;
}

my $dir = $l->{dir};

sub make_key {
    my ($name, @how) = @_;
    openssl('genpkey', '-quiet', @how, '-out', "$dir/$name.key");
    openssl('pkey', '-in', "$dir/$name.key", '-pubout', '-out', "$dir/$name.pub");
    return Leat::slurp("$dir/$name.pub");
}

# Signs a message: HS256 with a secret, else with a key of make_key.
sub signature {
    my ($alg, $with, $message) = @_;
    return hmac_sha256($message, $with) if $alg eq 'HS256';
    return hmac_sha512($message, $with) if $alg eq 'HS512';
    Leat::write_file("$dir/message", $message);
    my $made = openssl('dgst', '-sha256', '-sign', "$dir/$with.key", "$dir/message");
    return $made if $alg eq 'RS256';
    # ASN.1 { r, s } to two numbers of 32 bytes (RFC 7518, 3.4)
    my ($r, $s) = unpack 'x2 x C/a x C/a', $made;
    return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}

# A token. alg is what the header says, by how it is signed, with what.
sub jwt {
    my ($alg, $with, $claims, %opt) = @_;
    my $message = join '.', map { encode_base64url($json->encode($_)) } {alg => $alg, typ => 'JWT', %{ $opt{header} || {} }}, $claims;
    my $token = $message . '.' . (defined $with ? encode_base64url(signature($opt{by} // $alg, $with, $message)) : '');
    push @secrets, $token;
    return $token;
}

my %jwt_tests = (
    HS256 => ["[auth]\nanonymous =\njwt_secret = a secret of thirty-two bytes, or so\n", 'a secret of thirty-two bytes, or so'],
    RS256 => ["[auth]\nanonymous =\njwt_key_file = $dir/rsa.pub\n", 'rsa'],
    ES256 => ["[auth]\nanonymous =\njwt_key_file = $dir/ec.pub\n",  'ec'],
);
my %public = (rsa => make_key('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'),
    ec => make_key('ec', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'));
make_key('other_rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
make_key('other_ec',  '-algorithm', 'EC',  '-pkeyopt', 'ec_paramgen_curve:P-256');

for my $alg (qw(HS256 RS256 ES256)) {
    subtest "JWT: $alg" => sub {
        my ($conf, $key) = @{ $jwt_tests{$alg} };
        $l->down;
        $l->conf("$conf\[stream]\nheartbeat = 0.5\n");
        $l->up;
        my $now = int time;
        my $try = sub { ask($_[0], GET => '/api/tasks') };

        my $good = jwt($alg, $key, {sub => 'jane', exp => $now + 600});
        is $try->($good)->status, 200, 'a good one is taken';
        my $task = ask($good, POST => '/api/tasks', json => {type => 'wordcount', input => 'x'})->json;
        is $task->{task}{owner}, 'jane', 'its sub is the owner';
        is ask($good, GET => "/api/tasks/$task->{task_id}")->status, 200, '... who sees its task';
        is ask(jwt($alg, $key, {sub => 'joe'}), GET => "/api/tasks/$task->{task_id}")->status, 404, '... and nobody else does';
        is ask($full{alice}, GET => '/api/tasks')->status, 200, 'tokens are good beside it';

        my $reader = jwt($alg, $key, {sub => 'jane', scope => 'openid read email'});
        is $try->($reader)->status, 200, 'scope: read';
        refused_as ask($reader, POST => '/api/tasks', json => {type => 'wordcount'}), 403, 'insufficient_scope', '... and no more';
        refused_as $try->(jwt($alg, $key, {sub => 'jane', scope => 'openid'})), 403, 'insufficient_scope', 'scope: nothing of ours';
        is ask(jwt($alg, $key, {sub => 'chief', scope => 'admin'}), GET => "/api/tasks/$task->{task_id}")->status, 200, 'scope: admin';

        my ($head, $body, $signature) = split /\./, $good;
        my %bad = (
            'expired'               => jwt($alg, $key, {sub => 'jane', exp => $now - 1}),
            'not valid yet'         => jwt($alg, $key, {sub => 'jane', nbf => $now + 60}),
            'without sub'           => jwt($alg, $key, {exp => $now + 60}),
            'sub is no owner'       => jwt($alg, $key, {sub => "a\nb"}),
            'alg none'              => jwt('none', undef, {sub => 'jane'}),
            'alg none, signed'      => jwt('none', $key, {sub => 'jane'}, by => $alg),
            'alg NONE'              => jwt('NONE', undef, {sub => 'jane'}),
            'no signature'          => "$head.$body.",
            'another body'          => "$head." . encode_base64url('{"sub":"root","scope":"admin read"}') . ".$signature",
            'header says HS512'     => jwt('HS512', $alg eq 'HS256' ? $key : $public{$key}, {sub => 'jane'}),
            'crit'                  => jwt($alg, $key, {sub => 'jane'}, header => {crit => ['x'], x => 1}),
        );
        if ($alg eq 'HS256') {
            $bad{'another secret'} = jwt($alg, 'another secret of thirty-two bytes!', {sub => 'jane'});
            $bad{"$_ by a key of its own"} = jwt($_, $_ eq 'RS256' ? 'rsa' : 'ec', {sub => 'jane'}) for qw(RS256 ES256);
        } else {
            my $pem = $public{$key};
            $bad{'another key'}                   = jwt($alg, "other_$key", {sub => 'jane'});
            $bad{'HS256 with the public key'}     = jwt('HS256', $pem, {sub => 'jane'});
            $bad{'... without its newline'}       = jwt('HS256', $pem =~ s/\n\z//r, {sub => 'jane'});
            $bad{"$alg header over such an HMAC"} = jwt($alg, $pem, {sub => 'jane'}, by => 'HS256');
            my $cross = $alg eq 'RS256' ? 'ES256' : 'RS256';
            $bad{"$cross"} = jwt($cross, $key eq 'rsa' ? 'ec' : 'rsa', {sub => 'jane'});
            $bad{"$cross header, our key"} = jwt($cross, $key, {sub => 'jane'}, by => $alg);
        }
        refused_as $try->($bad{$_}), 401, 'invalid_token', "refused: $_" for sort keys %bad;
        is ask(undef, GET => "/api/events?ticket=$good")->status, 401, 'a JWT is no ticket';

        my $soon = time;
        my $s = $l->stream('/api/events', headers => { bearer(jwt($alg, $key, {sub => 'jane', exp => int($soon) + 3})) });
        is ended_as($s, 6), 'expired', 'a stream ends at exp';
        cmp_ok abs(time - int($soon) - 3), '<', 1.5, '... at that moment';
        my $t = ask_ticket(jwt($alg, $key, {sub => 'jane', exp => int(time) + 30}), all => JSON::PP::true);
        cmp_ok $t->{expires_at}, '<=', (time + 30) * 1000, 'a ticket lives no longer either';
    };
}

subtest 'a key that cannot be used is an error at the start' => sub {
    $l->down;
    make_key('small', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024');
    for (["$dir/nothing.pub", qr/\.conf:\d+: \[auth\] jwt_key_file: cannot read/], ["$dir/rsa.key", qr/holds a private key/], ["$dir/small.pub", qr/less than 2048/]) {
        my ($file, $says) = @$_;
        $l->conf("[auth]\njwt_key_file = $file\n");
        my $before = length $l->log;
        my $up = eval { $l->{ready} = 10; $l->try_up };
        ok !$up, "$file: does not start";
        $l->down;
        like substr($l->log, $before), $says, '... and says why';
    }
    $l->conf($auth);
    $l->{ready} = 30;
    $l->up;
};

# ---- secrets -------------------------------------------------------------------------------------

subtest 'no secret is said again' => sub {
    # events, and what a job is given
    $l->job(nosy => "#!/bin/sh\nenv; cat; env >&2\n");
    my $t  = ask_ticket($full{alice}, all => JSON::PP::true);
    my $id = ask($full{alice}, POST => '/api/tasks?type=nosy', body => 'x', headers => [Cookie => "leat_ticket=$t->{ticket}"])->json->{task_id};
    wait_until { ask($full{alice}, GET => "/api/tasks/$id")->json->{status} eq 'completed' };
    $said .= $l->http(GET => "/api/tasks/$id/$_", headers => [bearer($full{alice})])->body for qw(result log);
    ask($admin, GET => '/api/events?last_event_id=earliest&limit=10000');
    ask(undef, GET => "/api/nothing/here?ticket=$t->{ticket}");
    ask(undef, GET => "/api/tasks?ticket=$t->{ticket}&page_size=x");
    ask($full{alice}, GET => '/api/tasks?page_token=!');
    $said .= $l->leat(qw(token list))->{out} . $l->leat(qw(token list --json))->{out};
    my $oops = $l->leat(qw(token revoke), $full{alice});
    is $oops->{status}, 64, 'a token is no ID';
    $said .= $oops->{err};

    cmp_ok scalar @secrets, '>', 80, scalar(@secrets) . ' secrets were given out';
    my %texts = (answers => $said, 'make run' => $l->log);
    $texts{$_} = Leat::slurp($_) for glob $l->state . '/*.log';
    $l->down;
    $texts{"$_ at the end"} = Leat::slurp($_) for glob($l->state . '/*.log'), "$dir/server.log";
    $texts{$_} = Leat::slurp($_) for glob $l->state . '/leat.db*';
    for my $where (sort keys %texts) {
        my @found = grep { index($texts{$where}, $_) >= 0 } @secrets;
        is_deeply \@found, [], ($where =~ s/^\Q$dir\E\///r) . ': none';
    }
};

$l->stop;
done_testing;
