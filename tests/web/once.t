# Asking once: idempotency keys, retry and delete, GET /api/run, and the limits on asking too often.
use strict;
use warnings;
use ByHand qw(sql);
use Fcntl qw(:flock);
use IO::Select;
use IO::Socket::INET;
use Leat;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $l = Leat->start(conf => "[runner]\nworkers = 8\n");

# runs until the file of its input's name is there
sub add_jobs {
    my ($server) = @_;
    my $gate = "#!/bin/sh\nname=\$(cat)\nwhile [ ! -e $server->{dir}/open-\$name ]; do sleep 0.02; done\n";
    $server->job(gated => $gate);
    $server->job(asks  => $gate, "get = yes\ntimeout = 50.5\nattempts = 2\nmax_input_bytes = 100\nresult_type = text/csv\n");
    $server->job(turn  => "#!/bin/sh\nexec sleep 600\n", "serialize = group\nkill_grace = 0\n"); # one of a group at a time
    $server->job(picky => "#!/bin/sh\n[ -e $server->{dir}/fine ] || exit 65\n");
}
add_jobs($l);

sub opens {
    my ($name, $server) = @_;
    Leat::write_file(($server // $l)->{dir} . "/open-$name", '');
}

sub post {
    my ($fields, %headers) = @_;
    return $l->http(POST => '/api/tasks', json => $fields, headers => \%headers);
}

sub made {
    my $r = post(@_);
    is $r->status, 202, "create $_[0]{type}" or diag $r->body;
    return $r->json->{task_id};
}

sub task { return $l->http(GET => "/api/tasks/$_[0]")->json }

sub reaches { return $l->reaches(@_) }

sub events {
    my ($path) = @_;
    return @{ $l->http(GET => "$path/events?starting_after=earliest&limit=1000", headers => {Accept => 'application/json'})->json->{events} };
}

sub tasks { return scalar @{ $l->http(GET => "/api/tasks?page_size=200&type=$_[0]")->json->{tasks} } }

sub token {
    my ($server, $owner, $scope) = @_;
    my $r = $server->leat('token', 'add', '--owner', $owner, '--scope', $scope // 'create,read,publish');
    $r->{status} == 0 or die "token add: $r->{err}";
    return (Authorization => "Bearer $r->{out}");
}

my $uuid7 = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

# ---- keys ----------------------------------------------------------------------------------------

subtest 'twenty at once with one key make one task' => sub {
    my @running = map {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            my $r = post({type => 'gated', input => 'twenty', group => 'twenty'}, 'Idempotency-Key' => 'twenty');
            syswrite STDOUT, $r->status . ' ' . ($r->json->{task_id} // $r->body);
            POSIX::_exit(0);
        }
        $out
    } 1 .. 20;
    my %answers;
    for my $out (@running) {
        local $/;
        $answers{ readline($out) // '' }++;
        close $out;
    }
    is keys %answers, 1, 'one answer' or diag explain \%answers;
    my ($answer) = keys %answers;
    like $answer, qr/^202 $uuid7$/, 'with its id';
    is $answers{$answer}, 20, 'for all of them';
    is tasks('gated'), 1, 'one task';
    is $l->http(GET => '/api/groups/twenty')->json->{total}, 1, 'in its group too';
    opens('twenty');
    my $id = substr $answer, 4;
    reaches($id);
    is scalar(grep { ($_->{payload}{to} // '') eq 'running' } events("/api/tasks/$id")), 1, 'it ran once';
    is made({type => 'gated', input => 'twenty', group => 'twenty'}, 'Idempotency-Key' => 'twenty'), $id,
        'the key still holds when it is finished';
};

subtest 'a key is of one request, and of one owner' => sub {
    my $fields = {type => 'wordcount', input => 'a'};
    my $id     = made($fields, 'Idempotency-Key' => 'k 1');
    reaches($id);
    my $before = tasks('wordcount');
    for my $other ({type => 'wordcount', input => 'b'}, {%$fields, priority => 1}, {%$fields, type => 'csvstat'}) {
        my $r = post($other, 'Idempotency-Key' => 'k 1');
        is $r->status . ' ' . $r->json->{code}, '422 idempotency_key_reused', 'another payload';
    }
    my $r = $l->http(POST => '/api/tasks?type=wordcount', body => 'a', headers => {'Idempotency-Key' => 'k 1'});
    is $r->status . ' ' . $r->json->{code}, '422 idempotency_key_reused', 'another way to say it';
    is tasks('wordcount'), $before, 'make nothing';
    for (['application/json', '/api/tasks?dialect=flat', '{"type":"wordcount","input":"a"}'], ['text/csv', '/api/tasks?group=g&type=wordcount', 'b']) {
        my ($type, $path, $body) = @$_;
        my @ids = map { $l->http(POST => $_, body => $body, headers => {'Content-Type' => $type, 'Idempotency-Key' => "k $type"}) } $path,
            '/api/tasks?seconds=5' . ($path =~ /type=/ ? '&type=wordcount&token=renewed&group=g' : '');
        is $ids[1]->json->{task_id}, $ids[0]->json->{task_id} // $ids[0]->json->{taskId}, "how it is to be answered, and its credential, are no part of it: $type";
    }
    is made($fields, 'Idempotency-Key' => 'k 1'), $id, 'the same payload still finds it';
    isnt made($fields, 'Idempotency-Key' => 'K 1'), $id, 'keys are told apart by case';
    isnt made($fields, 'Idempotency-Key' => 'k 1', token($l, 'somebody')), $id, 'another owner has keys of their own';
    for my $bad ('x' x 256, "caf\xc3\xa9") {
        is post($fields, 'Idempotency-Key' => $bad)->status, 422, 'not a key: ' . length $bad;
    }
    my @see = map { post($fields, 'Idempotency-Key' => 'k 1', Accept => 'text/event-stream') } 1, 2;
    is $_->status . ' ' . $_->header('Content-Location'), "200 /api/tasks/$id/events", 'its events' for @see;
    $r = post($fields, 'Idempotency-Key' => 'k 1', Prefer => 'wait=20');
    is "$r->{status} $r->{json}{task_id} $r->{json}{result}", "200 $id 1", 'with its result';

    is $l->http(DELETE => "/api/tasks/$id")->status, 204, 'delete it';
    my $new = made($fields, 'Idempotency-Key' => 'k 1');
    isnt $new, $id, 'the key is free';
    is made($fields, 'Idempotency-Key' => 'k 1'), $new, 'and taken again';
    reaches($new);
    is $l->http(DELETE => "/api/tasks/$new")->status, 204, 'delete that too';
    is post({type => 'wordcount', input => 'c d'}, 'Idempotency-Key' => 'k 1')->status, 202, 'free for another payload';
};

# ---- again and away ------------------------------------------------------------------------------

subtest 'a key is kept for idempotency_hours' => sub {
    my $ask = sub { return $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => $_[0], delay => 600}, headers => {'Idempotency-Key' => 'aging'}) };
    my $id = $ask->('a')->json->{task_id};
    my $created = $l->http(GET => "/api/tasks/$id")->json->{created_at};
    my ($row) = sql($l, "SELECT (expires_at - $created) / 3600000.0 FROM idempotency WHERE key = 'key:aging'");
    cmp_ok abs($row->[0] - 24), '<', 0.01, '24 hours';
    is $ask->('a')->json->{task_id}, $id, 'so long it is the same task';
    is $ask->('b')->status, 422, 'and nothing else';
    sql($l, "UPDATE idempotency SET expires_at = created - 1 FROM (SELECT created_at AS created FROM tasks WHERE id = '$id') WHERE key = 'key:aging'");
    my $r = $ask->('b');
    is $r->status, 202, 'then the key is free';
    isnt $r->json->{task_id}, $id, 'for another task';
    $l->http(POST => "/api/tasks/$_/cancel") for $id, $r->json->{task_id};
};

subtest 'retry' => sub {
    my $id = made({type => 'picky', group => 'again'});
    my $t  = reaches($id);
    is "$t->{status} $t->{attempt}", 'failed 1', 'fails';
    my $r = $l->http(POST => "/api/tasks/$id/retry");
    is $r->status, 202, 'retry';
    is $r->json->{id} . ' ' . $r->json->{status}, "$id pending", 'pending again';
    is $r->json->{error}, undef, 'without its error';
    is $r->json->{completed_at}, undef, 'nor an end';
    $t = reaches($id);
    is "$t->{status} $t->{attempt}", 'failed 2', 'fails again';
    Leat::write_file("$l->{dir}/fine", '');
    is $l->http(POST => "/api/tasks/$id/retry")->status, 202, 'once more';
    $t = reaches($id);
    is "$t->{status} $t->{attempt}", 'completed 3', 'completes';
    my @events = events("/api/tasks/$id");
    is_deeply [map { $_->{task_seq} } @events], [1 .. @events], 'task_seq without a gap';
    is_deeply [map { $_->{payload}{to} } grep { $_->{type} eq 'task.status_changed' } @events],
        [qw(running failed pending running failed pending running completed)], 'every step';
    unlink "$l->{dir}/fine";

    my $late = made({type => 'gated', input => 'never', delay => 600});
    my $running = made({type => 'gated', input => 'retry'});
    reaches($running, 'running');
    for ([completed => $id], [pending => $late], [running => $running]) {
        $r = $l->http(POST => "/api/tasks/$_->[1]/retry");
        is $r->status, 409, "not a $_->[0] one";
        is task($_->[1])->{status}, $_->[0], 'which stays';
    }
    is $l->http(POST => "/api/tasks/$late/cancel")->status, 202, 'cancel the pending one';
    opens('retry');
    opens('never');
    is $l->http(POST => "/api/tasks/$late/retry")->status, 202, 'a cancelled one is retried';
    is reaches($late)->{status}, 'completed', 'now, not when it once was due';
    is $l->http(POST => '/api/tasks/01890000-0000-7000-8000-000000000000/retry')->status, 404, 'none';
    is $l->http(POST => "/api/tasks/$id/retry", headers => {token($l, 'somebody')})->status, 404, 'not yours';
};

subtest 'delete' => sub {
    my $late = made({type => 'gated', input => 'x', delay => 600});
    my $id = made({type => 'gated', input => 'delete', group => 'gone'});
    reaches($id, 'running');
    for ([pending => $late], [running => $id]) {
        my $r = $l->http(DELETE => "/api/tasks/$_->[1]");
        is $r->status, 409, "not while $_->[0]";
        is task($_->[1])->{status}, $_->[0], 'it stays';
    }
    my @streams = map { $l->stream($_) } '/api/groups/gone/events', '/api/events';
    opens('delete');
    reaches($id);
    is $l->http(DELETE => "/api/tasks/$id", headers => {token($l, 'somebody')})->status, 404, 'not another\'s';
    my $r = $l->http(DELETE => "/api/tasks/$id");
    is $r->status . $r->body, '204', 'gone';
    is $l->http(GET => "/api/tasks/$id$_", headers => {Accept => 'application/json'})->status, 404, "none at ...$_"
        for '', '/events', '/result', '/log';
    is $l->http(DELETE  => "/api/tasks/$id")->status, 404, 'once only';
    is $l->http(POST => "/api/tasks/$id/$_")->status, 404, "no $_" for qw(cancel retry);
    for my $s (@streams) {
        my $frame = $s->next_event(10, 'task.deleted');
        is $frame && $frame->{json}{task_id}, $id, 'a stream is told';
        $s->close;
    }
    for my $path ('/api/groups/gone', '/api') {
        my @of = grep { ($_->{task_id} // '') eq $id } events($path);
        is_deeply [map { $_->{type} } @of], ['task.deleted'], "all that is left in $path/events";
    }
    is $l->http(GET => '/api/groups/gone')->json->{total}, 0, 'nor does its group count it';
    $l->http(POST => "/api/tasks/$late/cancel");
};

# ---- GET /api/run --------------------------------------------------------------------------------

my %sse = (Accept => 'text/event-stream');

# GET /api/run/...: the id of the task whose events are answered, or the status.
sub run {
    my ($what, %headers) = @_;
    my $s = $l->stream("/api/run/$what", headers => {%sse, %headers});
    $s->close;
    return $s->status == 200 && ($s->header('Content-Location') // '') =~ m{^/api/tasks/($uuid7)/events$} ? $1 : $s->status;
}

subtest 'GET /api/run joins, finds and comes back' => sub {
    my $id = run('asks?input=join&group=g');
    like $id, qr/^$uuid7$/, 'made';
    my $t = task($id);
    is "$t->{type} $t->{group_id} $t->{max_attempts}", 'asks g 2', 'by the conf of its type';
    is run('asks?input=join&group=g'), $id, 'an identical request joins it';
    is run('asks?group=g&input=join'), $id, 'in any order';
    my %others = map { run("asks?$_") => $_ } 'input=join', 'input=join&group=h', 'input=joi&group=ng';
    is keys %others, 3, 'another one does not';
    ok !$others{$id}, 'indeed';
    isnt run('asks?input=join&group=g', token($l, 'somebody')), $id, 'nor does another owner';
    opens($_) for qw(join joi);
    is reaches($_)->{status}, 'completed', 'completes' for $id, keys %others;
    is run('asks?input=join&group=g'), $id, 'an end of a moment ago is joined too';
    is run('asks?types=task.created&group=g&input=join&dialect=flat'), $id, 'what is shown of the events does not matter';
    sql($l, "UPDATE tasks SET completed_at = completed_at - 59000 WHERE id = '$id'");
    is run('asks?input=join&group=g'), $id, 'for run_grace seconds';
    sql($l, "UPDATE tasks SET completed_at = completed_at - 2000 WHERE id = '$id'");
    my $new = run('asks?input=join&group=g');
    isnt $new, $id, 'and then no longer';
    like $new, qr/^$uuid7$/, 'it is another task';
    reaches($new);

    my $keyed = run('asks?input=join&key=k1');
    reaches($keyed);
    is run('asks?input=join&key=k1'), $keyed, 'by its key it is found though finished';
    isnt run('asks?input=join&key=k2'), $keyed, 'another key is another task';
    my $r = $l->http(GET => '/api/run/asks?input=other&key=k1', headers => \%sse);
    is $r->status . ' ' . $r->json->{code}, '422 idempotency_key_reused', 'a key for another input';
    is $l->http(GET => "/api/run/asks?key=$_", headers => \%sse)->status, 422, 'no key: ' . length for '', 'x' x 256;

    my $s = $l->stream("/api/tasks/$id/events");
    my $frame = $s->next_event(10, 'task.status_changed');
    ok $frame->{id}, 'an event has an id';
    $s->close;
    my $before = tasks('asks');
    is run('asks?input=join&group=g', 'Last-Event-ID' => $frame->{id}), $id, 'Last-Event-ID leads back to its task';
    is tasks('asks'), $before, 'and makes none';
    my $word = made({type => 'wordcount', input => 'a'});
    reaches($word);
    my ($first) = events("/api/tasks/$word");
    like run('asks?input=join&key=k3', 'Last-Event-ID' => $first->{id}), qr/^$uuid7$/, 'that of another type does not';
    isnt run('asks?input=join', 'Last-Event-ID' => $frame->{id}, token($l, 'somebody')), $id, 'nor for another owner';
    is run('wordcount', 'Last-Event-ID' => $first->{id}), 403, 'a type that GET may not start is not come back to either';
    like run('asks?input=join&key=k4', 'Last-Event-ID' => 'nonsense'), qr/^$uuid7$/, 'nor does nonsense matter';
};

subtest 'who comes back after a rotation finds what was watched' => sub {
    my %stream = map { $_ => $l->stream("/api/run/asks?input=rotate-$_&seconds=0.3", headers => \%sse) } 1, 2;
    my %id     = map { $_ => $stream{$_}->header('Content-Location') =~ /($uuid7)/ } 1, 2;
    made({type => 'wordcount', input => 'a b'});    # events of others lie behind
    my %last;
    for my $n (1, 2) {
        my $end = ($stream{$n}->rest(20))[-1];
        $last{$n} = $end->{id};
        is $end->{json}{payload}{reason}, 'rotated', "stream $n rotates";
        is run("asks?input=rotate-$n", 'Last-Event-ID' => $last{$n}), $id{$n}, '... and leads back to its task';
    }
    opens("rotate-$_") for 1, 2;
    reaches($id{$_})   for 1, 2;
    sql($l, "UPDATE tasks SET completed_at = completed_at - 90000 WHERE id = '$id{1}'");
    my $before = tasks('asks');
    is run('asks?input=rotate-1', 'Last-Event-ID' => $last{1}), $id{1}, 'also when it has ended long ago';
    is run("asks?input=rotate-1&lastEventId=$last{1}"), $id{1}, '... and where the query says what it saw last';
    is tasks('asks'), $before, 'nothing is asked twice';
};

subtest 'an identical request is joined while it is unfinished, however long' => sub {
    my $id = run('asks?input=years');
    sql($l, "UPDATE tasks SET created_at = created_at - 400 * 86400000 WHERE id = '$id'");
    my ($n)   = map { $_->[0] } sql($l, "SELECT n FROM tasks WHERE id = '$id'");
    my ($key) = map { $_->[0] } sql($l, "SELECT expires_at FROM idempotency WHERE task = $n");
    cmp_ok $key, '>', 1000 * (time + 10 * 365 * 86400), 'it is known for years';
    is run('asks?input=years'), $id, 'joined';
    opens('years');
    reaches($id);
    is $l->http(DELETE => "/api/tasks/$id")->status, 204, 'deleted';
    is_deeply [sql($l, "SELECT key FROM idempotency WHERE task = $n")], [], '... with what stood for it';
};

subtest 'a bare EventSource' => sub {
    my $r = $l->http(GET => '/api/run/asks?input=join&key=follow', headers => \%sse);
    is $r->status, 200, 'status';
    like $r->header('Content-Type'), qr{^text/event-stream}, 'an event stream';
    my @types = map { Leat::decode($_)->{type} } $r->body =~ /^data: (.*)$/mg;
    is "$types[0] $types[-1]", 'stream.connected stream.end', 'to its end';

    my @ids = $r->body =~ /^id: (\S+)$/mg;
    my $before = tasks('asks');
    $r = $l->http(GET => '/api/run/asks?input=join&key=follow', headers => {%sse, 'Last-Event-ID' => $ids[-1]});
    is $r->status, 204, 'coming back after all of it: 204, or it would ask again for ever';
    $r = $l->http(GET => '/api/run/asks?input=join&key=follow', headers => {%sse, 'Last-Event-ID' => $ids[0]});
    is_deeply [($r->body =~ /^id: (\S+)$/mg)[-1], scalar(() = $r->body =~ /^id: /mg)], [$ids[-1], scalar @ids],
        'after some of it: the rest, behind the cursor that it brought';
    is tasks('asks'), $before, 'and no task';
    my $s = $l->stream('/api/run/asks?input=beyond', headers => {'Accept' => '*/*'});
    is $s->header('Content-Type'), 'text/event-stream; charset=utf-8', 'any Accept that allows it';
    my ($id) = $s->header('Content-Location') =~ /($uuid7)/;
    my $frame = $s->next_event(10, 'task.status_changed');
    $s->close;
    my $again = $l->stream('/api/run/asks?input=beyond', headers => {'Last-Event-ID' => $frame->{id}});
    opens('beyond');
    is_deeply [map { $_->{json}{payload}{to} // $_->{json}{type} } $again->rest(20)], [qw(stream.connected completed stream.end)],
        'one that lost its connection goes on where it was';
};

subtest 'what the asker said about events goes along' => sub {
    my $query = 'dialect=flat&types=task.status_changed';
    my $types = sub { join ' ', map { Leat::decode($_)->{type} } $_[0]->body =~ /^data: (.*)$/mg };
    my $shown = 'connected status_update completed stream.end';
    is $types->($l->http(GET => "/api/run/asks?key=shown&input=join&$query", headers => \%sse)), $shown, 'GET run';
    is $types->($l->http(POST => "/api/tasks?type=wordcount&$query", body => 'a', headers => \%sse)), $shown, 'POST tasks';
    is $types->($l->http(POST => "/api/tasks?$query", json => {type => 'wordcount'}, headers => \%sse)), $shown, '... of JSON';
    my $before = tasks('asks');
    is $l->http(GET => '/api/run/asks?input=join&key=nd&dialect=none', headers => \%sse)->status, 422, 'there is no such dialect';
    is tasks('asks'), $before, 'so no task';
};

subtest 'who may not GET a task' => sub {
    my $before = tasks('asks') + tasks('wordcount');
    my @cases = (
        [GET  => 'wordcount', 403, 'not_by_get',         'without get = yes'],
        [GET  => 'missing',   422, 'unknown_type',       'no such type'],
        [GET  => 'asks',      406, 'not_acceptable',     'without Accept', Accept => 'application/json'],
        [GET  => 'asks',      406, 'not_acceptable',     'with one that excludes it', Accept => 'text/event-stream;q=0, */*'],
        [GET  => 'asks?types=A', 422, 'invalid_request', 'no types'],
        [GET  => 'asks',      403, 'origin_not_allowed', 'cross-site', 'Sec-Fetch-Site' => 'cross-site'],
        [POST => 'asks',      405, 'method_not_allowed', 'POST'],
        [GET  => 'asks?input=' . 'x' x 101, 413, 'body_too_large', 'too long an input'],
        [GET  => 'asks?group=', 422, undef, 'no group'],
    );
    for (@cases) {
        my ($method, $what, $status, $code, $name, %headers) = @$_;
        my $r = $l->http($method => "/api/run/$what", headers => {%sse, %headers});
        is $r->status, $status, $name or diag $r->body;
        is $r->json->{code}, $code, $code if $code;
    }
    my $r = $l->http(HEAD => '/api/run/asks', headers => \%sse);
    is $r->status . ' ' . ($r->header('Allow') // ''), '405 GET, OPTIONS', 'HEAD';
    is $l->http(OPTIONS => '/api/run/asks')->header('Allow'), 'GET, OPTIONS', 'as OPTIONS says';
    is tasks('asks') + tasks('wordcount'), $before, 'nothing was made';
    like run('asks?input=join&key=s1', 'Sec-Fetch-Site' => $_), qr/^$uuid7$/, $_ for qw(same-origin same-site none);
    is $l->http(GET => '/api/run/asks', headers => {%sse, token($l, 'reader', 'read')})->status, 403, 'needs the scope to create';
};

subtest 'GET /api/types' => sub {
    $l->job(crooked => "#!/bin/sh\n", "no such line\n");
    my $r = $l->http(GET => '/api/types');
    is $r->status, 200, 'status';
    my %types = map { $_->{type} => $_ } @{ $r->json->{types} };
    is_deeply $types{asks}, {
        type            => 'asks',
        timeout         => 50.5,
        max_attempts    => 2,
        max_input_bytes => 100,
        result_type     => 'text/csv',
        serialize       => undef,
        get             => JSON::PP::true,
        paused          => JSON::PP::false,
        broken          => undef,
        },
        'with its limits';
    ok $types{$_}, $_ for qw(wordcount gated picky);
    ok !$types{wordcount}{get}, 'not to be got';
    like $types{crooked}{broken}, qr/^crooked\.conf:1: /, 'what is wrong with a conf is said, and not where it lies';
    is $l->http(GET => '/api/types', headers => {token($l, 'reader', 'read')})->status, 403, 'needs the scope to create';
};

$l->stop;

# ---- limits --------------------------------------------------------------------------------------

my $few = Leat->start(conf => <<'CONF');
[database]
busy_ms = 60000
[limits]
queued_per_owner = 2
delayed_per_owner = 2
creates_per_minute = 7
polls_per_minute = 3
streams_per_owner = 2
stream_opens_per_minute = 5
CONF
add_jobs($few);

sub newest { return $few->http(GET => '/api/stats')->json->{database}{newest_seq} }

sub limited {
    my ($r, $name, $limit, $window) = @_;
    is $r->status, 429, "$name: 429" or return diag $r->body;
    is $r->json->{code}, 'rate_limited', 'code';
    is $r->header('Content-Type'), 'application/problem+json', 'a problem';
    my $seconds = $r->header('Retry-After') // '';
    like $seconds, qr/^[1-9]\d*$/, 'Retry-After';
    cmp_ok $seconds, '<=', 60, 'within a minute';
    is $r->header('RateLimit-Policy'), qq("$name";q=$limit) . ($window ? ";w=$window" : ''), 'RateLimit-Policy';
    is $r->header('RateLimit'), qq("$name";r=0;t=$seconds), 'RateLimit';
}

# A stream that is not open now: gives its retry.
sub refused_stream {
    my ($r, $name) = @_;
    is $r->status, 200, "$name: 200, or EventSource would not come back";
    like $r->header('Content-Type'), qr{^text/event-stream}, 'a stream';
    my ($retry) = $r->body =~ /^retry: (\d+)$/m;
    ok $retry, 'with retry';
    my @said = map { Leat::decode($_) } $r->body =~ /^data: (.*)$/mg;
    is_deeply [map { "$_->{type} $_->{payload}{reason}" } @said], ['stream.end overloaded'], 'and its end';
    is $said[0]{payload}{retry_ms}, $retry, 'which says it too';
    return $retry;
}

subtest 'queued tasks and creations' => sub {
    my %me = token($few, 'eager');
    my $create = sub {
        my ($input, %headers) = @_;
        return $few->http(POST => '/api/tasks', json => {type => 'gated', input => $input, group => "of-$input"}, headers => {%me, %headers});
    };
    my $mine = sub { return scalar @{ $few->http(GET => "/api/$_[0]", headers => \%me)->json->{ $_[0] } } };
    my $later = sub { return $few->http(POST => '/api/tasks', json => {type => 'gated', delay => 600}, headers => \%me) };
    is $later->()->status, 202, 'one for later' for 1, 2;
    my $turn = sub { return $few->http(POST => '/api/tasks', json => {type => 'turn', group => 'turns'}, headers => \%me) };
    is $turn->()->status, 202, 'one that runs';
    my $running = sub { return @{ $few->http(GET => '/api/tasks?status=running', headers => \%me)->json->{tasks} } };
    ok wait_until { $running->() } 30;
    is $turn->()->status, 202, 'one that waits' for 1, 2;
    my $before = newest();
    limited($later->(), 'delayed_per_owner', 2);
    limited($create->('third'), 'queued_per_owner', 2);
    limited($create->('keyed', 'Idempotency-Key' => 'late'), 'queued_per_owner', 2);
    my $run = sub { return $few->http(GET => '/api/run/asks?input=late', headers => {%me, %sse}, timeout => 20) };
    refused_stream($run->(), 'queued_per_owner of a run');
    is newest(), $before, 'nothing is written';
    is $mine->('tasks'), 5, 'no task';
    is $mine->('groups'), 1, 'no group';
    is $few->http(POST => '/api/tasks', json => {type => 'gated', delay => 600}, headers => {token($few, 'calm')})->status, 202,
        'another owner has a limit of their own';

    my @waiting = @{ $few->http(GET => '/api/tasks', headers => \%me)->json->{tasks} };
    is $few->http(POST => "/api/tasks/$_->{id}/cancel", headers => \%me)->status, 202, 'cancel' for @waiting;
    opens($_, $few) for qw(third keyed);
    is $create->('keyed', 'Idempotency-Key' => 'late')->status, 202, 'then there is room: a refusal kept no key';
    is $create->('third')->status, 202, 'for the fourth too';
    my $done = wait_until {
        !grep { $_->{status} =~ /^(?:pending|running)$/ } @{ $few->http(GET => '/api/tasks', headers => \%me)->json->{tasks} }
    } 30;
    ok $done, 'all ended';
    $before = newest();
    my $eighth = $create->('eighth');
    limited($eighth, 'creates_per_minute', 7, 60);
    my $left = refused_stream($run->(), 'creates_per_minute of a run');
    cmp_ok $left, '<=', 1000 * $eighth->header('Retry-After'), 'its retry is the time until the window lets it in';
    cmp_ok $left, '>=', 1000 * $create->('eighth')->header('Retry-After'), '... and not sooner';
    is newest(), $before, 'nothing is written';
    is $mine->('tasks'), 7, 'no task';
    is $create->('keyed', 'Idempotency-Key' => 'late')->status, 202, 'what was asked before is answered again';
};

subtest 'polls' => sub {
    my %me = token($few, 'poller');
    my $none = '/api/tasks/01890000-0000-7000-8000-000000000000';
    # a minute may end meanwhile, but not two
    my @answers;
    do { push @answers, $few->http(GET => $none, headers => \%me) } while $answers[-1]->status != 429 && @answers < 8;
    cmp_ok scalar @answers, '>', 3, 'three are answered';
    limited($answers[-1], 'polls_per_minute', 3, 60);
    is $few->http(GET => $none, headers => {token($few, 'patient')})->status, 404, 'another owner may still ask';
    is $few->http(GET => '/api/tasks', headers => \%me)->status, 200, 'a list is no poll';
};

subtest 'to be counted waits for the write lock, and keeps nobody else waiting' => sub {
    my %me = token($few, 'counted');
    my $none = '/api/tasks/01890000-0000-7000-8000-000000000000';
    open my $lock, '+<', $few->state . '/leat.db.lock' or die "lock: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    my $asks = sub {
        my ($path, %headers) = @_;
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $few->port) or die "connect: $@";
        syswrite $socket, "GET $path HTTP/1.1\r\nHost: localhost\r\n" . join('', map { "$_: $headers{$_}\r\n" } keys %headers) . "\r\n";
        return $socket;
    };
    # more than there are processes
    my @wait = ((map { $asks->($none, %me) } 1 .. 6), (map { $asks->('/api/events', %me, %sse) } 1, 2));
    my ($slowest, $wrong) = (0, 0);
    for (1 .. 20) {
        my $begin = time;
        $wrong++ if $few->http(GET => '/api/tasks', headers => \%me, timeout => 15)->status != 200;
        my $took = time - $begin;
        $slowest = $took if $took > $slowest;
    }
    is $wrong, 0, 'others are answered';
    cmp_ok $slowest, '<', 5, sprintf '... at once (%.2f s)', $slowest;
    is scalar(grep { IO::Select->new($_)->can_read(0) } @wait), 0, 'those who are counted wait';
    flock $lock, LOCK_UN;
    is scalar(grep { IO::Select->new($_)->can_read(20) } @wait), 8, '... until it is free';
};

subtest 'streams' => sub {
    my %me = token($few, 'watcher');
    my @open = map { $few->stream('/api/events', headers => \%me) } 1, 2;
    is $_->next_event(10)->{json}{type}, 'stream.connected', 'two are open' for @open;
    my $get = sub { return $few->http(GET => '/api/events', headers => {%me, %sse}, timeout => 20) };
    refused_stream($get->(), 'streams_per_owner');
    limited($few->http(GET => '/api/events?follow=1', headers => {%me, Accept => 'application/x-ndjson'}), 'streams_per_owner', 2);
    my $other = $few->stream('/api/events', headers => {token($few, 'viewer')});
    is $other->next_event(10)->{json}{type}, 'stream.connected', 'another owner may watch';
    $other->close;

    # one at a time, until the openings of this minute (of at most two minutes) are used up
    my ($opened, $refused) = (2);
    $_->close for @open;
    my $use_up = sub { undef $refused; return wait_until {
        my $s = $few->stream('/api/events', headers => \%me);
        my $first = $s->next_event(10);
        $opened++ if $first->{json}{type} eq 'stream.connected';
        $s->close;
        # with all of them gone only the openings can be too many
        my $r = $few->http(GET => '/api/events?follow=1', headers => {%me, Accept => 'application/x-ndjson'}, timeout => 0.2);
        $opened++ if $r->status == 200;
        $refused = $r if $r->status == 429 && $r->header('RateLimit') =~ /opens/;
        $refused
    } 30 };
    ok scalar $use_up->(), 'too many openings' or return;
    limited($refused, 'stream_opens_per_minute', 5, 60);
    cmp_ok $opened, '>=', 5, 'five were opened';
    my $r = $get->();
    # a minute may have begun since
    for (1 .. 3) { last if $r->body =~ /overloaded/; $use_up->(); $r = $get->() }
    my $left = refused_stream($r, 'stream_opens_per_minute');
    ok $left % 1000 == 0 && $left <= 60_000, 'its retry is the time until the window lets it in, as of Retry-After' or diag $left;
};

subtest 'anonymous callers are counted by address' => sub {
    my $create = sub {
        return $few->http(POST => '/api/tasks', json => {type => 'gated', input => 'anybody'}, curl => ['--interface', $_[0]]);
    };
    my $r;
    # a minute may end meanwhile, but not two
    for (1 .. 16) {
        $r = $create->('127.0.0.1');
        last if $r->status != 202;
        my $id = $r->json->{task_id};
        is $few->http(POST => "/api/tasks/$id/cancel")->status, 202, 'one that ends';
        wait_until { $few->http(DELETE => "/api/tasks/$id")->status == 204 } 30 or die 'it stays';
    }
    limited($r, 'creates_per_minute', 7, 60);
    is $create->('127.0.0.2')->status, 202, 'who asks from elsewhere has a limit of their own';
};

$few->stop;

# ---- who waits is watching too ----

my $two = Leat->start(processes => 4, conf => "[limits]\nstreams_per_owner = 2\n[stream]\nheartbeat = 0.5\n[http]\nwait_seconds_max = 300\n");
add_jobs($two);

subtest 'what waits is a stream of its owner, in whichever process' => sub {
    my %me   = token($two, 'waiter');
    my $made = $two->http(POST => '/api/tasks', json => {type => 'gated', input => 'two'}, headers => \%me)->json->{task_id};
    my $etag = sub { $two->http(GET => "/api/tasks/$made", headers => \%me)->header('ETag') };
    is $two->reaches($made, 'running') && 1, 1, '(a task that runs)';
    my %wait = (%me, Prefer => 'wait=300');    # longer than all of this takes
    my %json = (Accept => 'application/json');
    my $cursor = $two->http(GET => "/api/tasks/$made/events", headers => {%me, %json})->json->{cursor};
    # what holds a place, opened on a connection of its own: its head comes at once, or when the wait is over
    my %holds = (
        'a stream'     => sub { $two->stream("/api/tasks/$made/events", headers => \%me) },
        'lines that follow' => sub { $two->stream('/api/events?follow=1', headers => {%me, Accept => 'application/x-ndjson'}) },
        'a log that follows' => sub { $two->stream("/api/tasks/$made/log?follow=1", headers => {%me, Accept => '*/*'}) },
        'a long poll of a task' => sub { later(GET => "/api/tasks/$made", %wait, 'If-None-Match' => $etag->()) },
        'a long poll of events' => sub { later(GET => "/api/tasks/$made/events?last_event_id=$cursor", %wait, %json) },
        'a create that waits'   => sub { later(POST => '/api/tasks?type=gated', %wait) },
    );
    for my $what (sort keys %holds) {
        my @held = map { $holds{$what}->() } 1, 2;
        # the third: not at once where those before are on their way, or were answered because it was faster; and once is
        # not enough, for the place may be that of the third before it, whose end has not been noticed yet
        my $times = 0;
        my $full = wait_until {
            my $answered = 0;
            $_ = $holds{$what}->(), $answered++ for grep { !$_->isa('Leat::Stream') && IO::Select->new($_)->can_read(0) } @held;
            my $s = $two->stream('/api/events', headers => \%me);
            my $reason = $s->next_event(10)->{json}{payload}{reason} // '';
            $s->close;
            $times = !$answered && $reason eq 'overloaded' ? $times + 1 : 0;
            $times == 10
        } 20;
        ok $full, "$what: two, and no more";
        my $r = $two->http(GET => "/api/tasks/$made", headers => {%wait, 'If-None-Match' => $etag->()});
        limited($r, 'streams_per_owner', 2);
        limited($two->http(GET => "/api/tasks/$made/events?last_event_id=$cursor", headers => {%wait, %json}), 'streams_per_owner', 2);
        is $two->http(GET => "/api/tasks/$made", headers => {%me, Prefer => 'wait=20'}, timeout => 5)->status, 429, '... without a validator too'
            if $what eq 'a stream';
        is $two->stream('/api/events', headers => {token($two, "other $what")})->next_event(10)->{json}{type}, 'stream.connected',
            '... another owner has places of their own';

        my $created = $two->http(POST => '/api/tasks?type=gated&delay=600', headers => {%wait}, timeout => 10);
        is $created->status . ' ' . ($created->json->{status} // ''), '202 pending', 'a create that would wait is made, and answered at once';
        is $created->header('Preference-Applied'), undef, '... and does not say that it has waited';
        my $watched = $two->http(POST => '/api/tasks?type=gated&delay=600', headers => {%me, Accept => 'text/event-stream'}, timeout => 10);
        is $watched->status, 200, 'one that would watch too';
        like $watched->body, qr/^retry: \d+\n.*"stream\.end".*"overloaded"/s, '... told to come back';
        my ($id) = ($watched->header('Content-Location') // '') =~ m{^/api/tasks/($uuid7)/events$};
        is $two->http(GET => "/api/tasks/$id", headers => \%me)->json->{status}, 'pending', '... where its events are';

        $_->close for @held;
        my $free = wait_until {
            my $s = $two->stream('/api/events', headers => \%me);
            my $type = $s->next_event(10)->{json}{type};
            $s->close;
            $type eq 'stream.connected'
        } 20;
        ok $free, '... and when they are gone, there is room';
    }
    opens('two', $two);
};

# A request whose answer nobody reads yet.
sub later {
    my ($method, $path, %headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $two->port) or die "connect: $@";
    my $length = $method eq 'POST' ? "Content-Length: 0\r\n" : '';
    syswrite $socket, "$method $path HTTP/1.1\r\nHost: localhost\r\n$length" . join('', map { "$_: $headers{$_}\r\n" } keys %headers) . "\r\n";
    return $socket;
}

$two->stop;

# ---- fractions -----------------------------------------------------------------------------------

my $brief = Leat->start(conf => "[http]\nidempotency_hours = 0.001\n[auth]\nticket_seconds_max = 0.5\n");

subtest 'times that are parts of an hour and of a second' => sub {
    my $ask = sub { return $brief->http(POST => '/api/tasks', json => {type => 'wordcount', input => $_[0]}, headers => {'Idempotency-Key' => 'brief'}) };
    my $task = $ask->('a')->json->{task};
    my ($row) = sql($brief, "SELECT expires_at - $task->{created_at} FROM idempotency WHERE key = 'key:brief'");
    is $row->[0], 3600, 'a key is kept for 0.001 hours';
    my $free = wait_until { $ask->('b')->status == 202 } 10;
    ok $free, '... and then is free';

    for my $ttl (undef, 60, 0.25) {
        my $before = time * 1000;
        my $t = $brief->http(POST => '/api/tickets', json => {all => JSON::PP::true, ttl => $ttl})->json;
        my $long = ($ttl // 60) < 0.5 ? 250 : 500;
        cmp_ok $t->{expires_at} - $before, '<=', $long + 1000 * 2, 'a ticket of ' . ($ttl // 'no ttl');
        my $over = wait_until { $brief->http(GET => "/api/tasks?ticket=$t->{ticket}")->status == 401 } 5;
        ok $over, '... is over';
    }
};

$brief->stop;
done_testing;
