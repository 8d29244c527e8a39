# Many tasks in one request, all of them or none; and `unique`, by which a request joins a task that is not
# finished yet.
use strict;
use warnings;
use ByHand qw(sql);
use JSON::PP ();
use Leat;
use POSIX ();
use Test::More;

my $l = Leat->start(conf => "[http]\nbulk_max = 5\nmax_body_bytes = 4000\nmax_raw_bytes = 9000\n[limits]\nqueued_per_owner = 20\ndelayed_per_owner = 20\n");
my $gate = "$l->{dir}/gate";
$l->job(waits => "#!/bin/sh\nwhile [ ! -e $gate ]; do sleep 0.05; done\n", "attempts = 3\n");
$l->job(cat   => "#!/bin/sh\nexec cat\n");
$l->job(small => "#!/bin/sh\nexec cat\n", "max_input_bytes = 3\n");
$l->job(wrong => "#!/bin/sh\n", "nope = 1\n");

my $uuid7 = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

sub owner {
    my ($name) = @_;
    my $r = $l->leat('token', 'add', '--owner', $name);
    $r->{status} == 0 or die "token add: $r->{err}";
    return (Authorization => "Bearer $r->{out}");
}

sub lines { return join '', map { (ref $_ ? JSON::PP->new->canonical->encode($_) : $_) . "\n" } @_ }

# Posts lines; more headers may follow.
sub bulk {
    my ($body, @headers) = @_;
    return $l->http(POST => '/api/tasks', body => $body, headers => ['Content-Type' => 'application/x-ndjson', @headers]);
}

sub ids { return map { $_->{task_id} } @{ $_[0]->json->{tasks} || [] } }

sub rows { return join ' ', map { @{ (sql($l, "SELECT count(*) FROM $_"))[0] } } qw(tasks events idempotency groups) }

sub refused {
    my ($r, $status, $code, $line, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $j = ref $r->json eq 'HASH' ? $r->json : {};
    is_deeply [$r->status, $r->header('Content-Type'), @$j{qw(status code line)}],
        [$status, 'application/problem+json', $status, $code, $line], $what
        or diag $r->body;
}

subtest 'each line is a task, in order' => sub {
    my $r = bulk(
        "\n  \r\n"
            . lines({type => 'cat', input => 'one'}, '', {type => 'cat', input => {b => 1}, group => 'g', priority => 7}, "\t")
            . '{"type":"waits","max_attempts":2,"delay":600}' . "\r\n"
            . '{"type":"cat","input":"no newline after it"}');
    is $r->status, 202, 'accepted';
    is $r->header('Content-Type'), 'application/json', 'JSON';
    is_deeply [sort keys %{ $r->json }], ['tasks'], 'a list';
    my @ids = ids($r);
    is @ids, 4, 'of four, blank lines are none';
    like $_, qr/^$uuid7$/, 'an id' for @ids;
    is_deeply [reverse map { $_->{id} } @{ $l->http(GET => '/api/tasks')->json->{tasks} }], \@ids, 'made in this order';
    is_deeply [sort keys %$_], [qw(links task_id)], '... with its links' for @{ $r->json->{tasks} };
    is $r->json->{tasks}[1]{links}{events}, "/api/tasks/$ids[1]/events", '... of this task';
    my @tasks = map { $l->http(GET => "/api/tasks/$_")->json } @ids;
    is_deeply [map { $_->{type} } @tasks], [qw(cat cat waits cat)], 'types';
    is_deeply [@{ $tasks[1] }{qw(group_id priority)}, $tasks[2]{max_attempts}], ['g', 7, 2], 'fields';
    is $tasks[2]{run_at} - $tasks[2]{created_at}, 600_000, 'a delay';
    is_deeply [map { $_->{request_id} } @tasks], [($r->header('X-Request-ID')) x 4], 'one request';
    is_deeply [map { $l->reaches($_)->{result} } @ids[0, 1, 3]], ['one', {b => 1}, 'no newline after it'], 'each runs';
    $l->http(POST => "/api/tasks/$ids[2]/cancel");
};

subtest 'Accept and Prefer do not count, the media type does' => sub {
    my $r = bulk(lines({type => 'cat'}), Accept => 'text/event-stream', Prefer => 'wait=20');
    is $r->status . ' ' . ids($r), '202 1', 'an answer like any other';
    is $r->header('Preference-Applied'), undef, '... that waited for nothing';
    $r = $l->http(POST => '/api/tasks', body => lines({type => 'cat'}), headers => {'Content-Type' => 'Application/X-NDJSON; charset=utf-8'});
    is $r->status . ' ' . ids($r), '202 1', 'in any case, with parameters';
    my $body = lines({type => 'waits'}, {type => 'nosuch'});
    $r = $l->http(POST => '/api/tasks?type=cat', body => $body, headers => {'Content-Type' => 'application/x-ndjson'});
    is $r->status, 202, 'with type in the query';
    my $task = $l->reaches($r->json->{task_id});
    is $l->http(GET => "/api/tasks/$task->{id}/result")->body, $body, '... it is a raw body';
};

subtest 'one that is refused takes all with it, and is named' => sub {
    my $before = rows();
    my $good = lines({type => 'cat', group => 'of nobody'});
    my @cases = (
        ['no JSON',             "$good\n{\n",                                    400, 'bad_json',          3],
        ['no UTF-8',            $good . qq({"type":"cat","input":"\xff"}\n),     400, 'bad_json',          2],
        ['no object',           "$good\[]\n",                                    422, 'invalid_request',   2],
        ['no type',             "$good\{}\n$good",                               422, 'invalid_request',   2],
        ['a field that is none', $good . lines({type => 'cat', nope => 1}),      422, 'invalid_request',   2],
        ['a bad field',         $good . lines({type => 'cat', priority => 101}), 422, 'invalid_request',   2],
        ['no such type',        "\n\n$good" . lines({type => 'nosuch'}),         422, 'unknown_type',      4],
        ['too long an input',   $good . lines({type => 'small', input => 'abcd'}), 413, 'body_too_large',  2],
        ['a type whose conf is wrong', $good . lines({type => 'wrong'}),         500, 'type_misconfigured', 2],
        ['the first of two',    lines({type => 'b'}, {type => 'c'}),             422, 'unknown_type',      1],
        ['more than bulk_max',  "\n" . $good x 6,                                413, 'too_many_lines',    7],
    );
    for (@cases) {
        my ($what, $body, $status, $code, $line) = @$_;
        refused(bulk($body), $status, $code, $line, $what);
    }
    refused(bulk($_), 422, 'invalid_request', undef, 'none at all') for '', "\n", " \r\n\t\n";
    refused(bulk($good . lines({type => 'cat', input => 'x' x 4000})), 413, 'body_too_large', 2, 'a line above max_body_bytes');
    is rows(), $before, 'nothing was made';
    is ids(bulk($good x 5)), 5, 'bulk_max is allowed';
};

subtest 'each line counts as a create' => sub {
    my @me = owner('busy');
    my $later = lines({type => 'cat', delay => 600});
    is ids(bulk($later x 5, @me)), 5, 'five' for 1 .. 3;
    is ids(bulk($later x 3, @me)), 3, 'three';
    my $before = rows();
    my $r = bulk($later x 3, @me);
    is $r->status . ' ' . $r->json->{code}, '429 rate_limited', 'two fit, three do not';
    is $r->header('RateLimit-Policy'), '"delayed_per_owner";q=20', '... and it says by which limit';
    ok $r->header('Retry-After'), '... until when';
    is rows(), $before, 'none of them was made';
    is ids(bulk($later x 2, @me)), 2, 'two are';
};

subtest 'one key covers the request' => sub {
    my @key  = ('Idempotency-Key' => 'many');
    my $body = lines(map { {type => 'waits', input => $_, group => 'keyed'} } 1 .. 3);
    my $first = bulk($body, @key);
    my @ids   = ids($first);
    is @ids, 3, 'made';
    my $before = rows();
    is_deeply bulk($body, @key)->json, $first->json, 'the same answer';
    refused(bulk(lines({type => 'waits'}), @key), 422, 'idempotency_key_reused', 1, 'another body');
    refused(bulk($body . lines({type => 'waits'}), @key), 422, 'idempotency_key_reused', 1, 'one line more');
    my $one = $l->http(POST => '/api/tasks', json => {type => 'waits'}, headers => {@key});
    is $one->status . ' ' . $one->json->{code}, '422 idempotency_key_reused', 'another kind of request';
    is rows(), $before, 'nothing more was made';
    $one = $l->http(POST => '/api/tasks', json => {type => 'waits'}, headers => {'Idempotency-Key' => 'many 1'});
    is $one->status, 202, 'a key that looks like that of a line is another key';

    # at once, on several connections
    my @running = map {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            syswrite STDOUT, join ' ', ids(bulk($body, 'Idempotency-Key' => 'at once'));
            POSIX::_exit(0);
        }
        $out
    } 1 .. 8;
    my %answers = map { local $/; (readline($_) // '') => 1 } @running;
    close $_ for @running;
    is keys %answers, 1, 'eight at once get one answer' or diag explain \%answers;
    like +(keys %answers)[0], qr/^$uuid7 $uuid7 $uuid7$/, 'of three tasks';
    is $l->http(GET => '/api/groups/keyed')->json->{total}, 6, 'all there are';
};

subtest 'unique joins what is not finished' => sub {
    my @me = owner('ulla');
    my $post = sub { return $l->http(POST => '/api/tasks', json => $_[0], headers => {@me, @_[1 .. $#_]}) };
    my $ask = {type => 'waits', unique => 'nightly', input => 'a'};
    my $first = $post->($ask);
    is $first->status, 202, 'made';
    my $id = $first->json->{task_id};
    ok !exists $first->json->{joined}, 'which joined nothing';
    for (['the same', $ask], ['with another input', {%$ask, input => 'b', group => 'h', priority => 3}]) {
        my $r = $post->($_->[1]);
        is_deeply [$r->status, @{ $r->json }{qw(task_id joined)}], [202, $id, JSON::PP::true], $_->[0];
        is $r->header('Location'), "/api/tasks/$id", 'Location';
    }
    isnt $post->({%$ask, unique => 'Nightly'})->json->{task_id}, $id, 'another word does not';
    isnt $post->({%$ask, type => 'cat'})->json->{task_id}, $id, 'nor another type';
    isnt $l->http(POST => '/api/tasks', json => $ask, headers => {owner('uwe')})->json->{task_id}, $id, 'nor another owner';
    my $raw = $l->http(POST => '/api/tasks?type=waits&unique=nightly', body => 'x', headers => {@me});
    is $raw->json->{task_id}, $id, 'a raw body does';
    my $s = $l->stream('/api/tasks', method => 'POST', body => lines($ask),
        headers => {@me, Accept => 'text/event-stream', 'Content-Type' => 'application/json'});
    is $s->header('Content-Location'), "/api/tasks/$id/events", 'who watches it too';
    $s->close;
    my @joined = map { $_->{joined} ? 'joined' : 'made' } @{
        bulk(lines($ask, {type => 'waits', unique => 'weekly'}, {type => 'waits', unique => 'weekly'}, {type => 'waits'}), @me)->json->{tasks}
    };
    is_deeply \@joined, [qw(joined made joined made)], 'lines join, also one another';

    my @key = ('Idempotency-Key' => 'joins');
    my $one = $post->($ask, @key)->json;
    is $one->{task_id}, $id, 'with a key';
    my @lines = (lines($ask, {type => 'waits', unique => 'monthly'}, {type => 'waits', unique => 'monthly'}), @me, 'Idempotency-Key' => 'joins many');
    my $all   = bulk(@lines);
    my @many  = ids($all);
    is_deeply [@many[0, 2]], [$id, $many[1]], '... of many';

    Leat::write_file($gate, '');
    is $l->reaches($id)->{status}, 'completed', 'it ends';
    $l->reaches($_) for @many;
    my $again = $post->($ask, @key)->json;
    is_deeply [@$again{qw(task_id joined)}], [@$one{qw(task_id joined)}], 'the key still stands for it, which was there already';
    is_deeply bulk(@lines)->json, $all->json, '... of many';
    is $post->({%$ask, input => 'c'}, @key)->status, 422, '... and for nothing else';
    isnt $post->($ask)->json->{task_id}, $id, 'without it there is another task';

    for my $bad ('', 'x' x 256, 5, ['a'], "a\0b") {
        my $r = $post->({%$ask, unique => $bad});
        is $r->status . ' ' . $r->json->{code}, '422 invalid_request', 'not text of 1 to 255 bytes';
        like $r->json->{detail}, qr/^unique: /, '... says which field';
    }
    is $post->({type => 'cat', unique => 'x' x 255})->status, 202, '255 are';
    is $post->({type => 'cat', unique => undef})->status, 202, 'null is none';
};

subtest 'twenty at once with one unique make one task' => sub {
    unlink $gate;
    my @running = map {
        my $pid = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            my $r = $l->http(POST => '/api/tasks', json => {type => 'waits', unique => 'twenty', group => 'twenty'});
            syswrite STDOUT, join ' ', $r->json->{task_id} // $r->body, $r->json->{joined} ? 'joined' : 'made';
            POSIX::_exit(0);
        }
        $out
    } 1 .. 20;
    my (%ids, %how);
    for my $out (@running) {
        local $/;
        my ($id, $how) = split ' ', readline($out) // '';
        $ids{$id}++;
        $how{$how}++;
        close $out;
    }
    is keys %ids, 1, 'one task';
    is_deeply \%how, {made => 1, joined => 19}, 'which nineteen joined';
    is $l->http(GET => '/api/groups/twenty')->json->{total}, 1, 'indeed';
    Leat::write_file($gate, '');
};

$l->stop;
done_testing;
