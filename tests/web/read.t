# Reading tasks: documents, lists, conditional and waiting requests, cancelling, results, logs, health.
use strict;
use warnings;
use Leat;
use Encode qw(decode);
use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

our $l = Leat->start(conf => "[http]\npage_size_max = 12\n[auth]\nanonymous_scope = create,read\n");

sub add_jobs {
    my ($site) = @_;

    # tells how far it is, and ends once there is the file that its input names
    $site->job(gated => <<'JOB');
#!/bin/sh
gate=$(cat)
echo '{"progress":40,"phase":"digging","message":"nearly \"half\""}' >&3
echo 'first line' >&2
while [ ! -e "$gate" ]; do sleep 0.02; done
echo '<4>second line' >&2
echo 'came through'
JOB

    # says nothing before the gate is open
    $site->job(silent => "#!/bin/sh\ngate=\$(cat)\nwhile [ ! -e \"\$gate\" ]; do sleep 0.02; done\n");

    # repeats its input as its result
    $site->job(cat => "#!/bin/sh\nexec cat\n");

    # one of a group at a time
    $site->job(turn => "#!/bin/sh\nexec sleep 600\n", "serialize = group\nkill_grace = 0\n");
    $site->job(svg => "#!/bin/sh\nexec cat\n", "result_type = image/svg+xml\n");

    # fails, with something on standard output
    $site->job(fails => "#!/bin/sh\necho half a result\nprintf '\\033[31mno such \\033[1mluck\\033[0m\\n' >&2\nexit 3\n");
}
add_jobs($l);

sub create {
    my ($fields) = @_;
    my $r = $l->http(POST => '/api/tasks', json => $fields);
    die "refused: $r->{status} $r->{body}" unless $r->json && $r->json->{task_id};
    return $r->json->{task_id};
}

sub task   { return $l->http(GET  => "/api/tasks/$_[0]", headers => $_[1])->json }
sub cancel { return $l->http(POST => "/api/tasks/$_[0]/cancel") }

# Its document, as soon as the task has this status.
sub once {
    my ($id, $status) = @_;
    my $task;
    my $is = wait_until { $task = task($id); $task->{status} eq $status } 20;
    diag "$id is $task->{status}, not $status" unless $is;
    return $task;
}

sub finished { return once($_[0], 'completed') }

my $gates = 0;
sub new_gate  { return "$l->{dir}/gate" . ++$gates }
sub open_gate { Leat::write_file($_[0], '') }

# Sends a GET on a connection of its own; answer_of() waits for what comes back.
sub ask {
    my ($path, %headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) or die "connect: $@";
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        map({"$_: $headers{$_}\r\n"} sort keys %headers), "\r\n";
    $socket->flush;
    return $socket;
}

sub answer_of {
    my ($socket) = @_;
    my ($head, $body) = split /\r\n\r\n/, do { local $/; readline($socket) // '' }, 2;
    close $socket;
    my $answer = Leat::Answer::parse($head);
    $answer->{body} = $body;
    $answer->{json} = eval { decode_json($body) };
    return $answer;
}

my $unknown = '01890000-0000-7000-8000-000000000000';

my @members = sort qw(
    id type status progress phase message group_id priority owner request_id attempt max_attempts run_at
    created_at started_at completed_at updated_at elapsed_seconds estimated_remaining_seconds queue_position
    cancel_requested result result_type result_bytes error event_count cursor files links
);

sub is_false { ok defined $_[0] && ref $_[0] eq 'JSON::PP::Boolean' && !$_[0], "$_[1] is false" }

subtest 'a document has every member, with null for what is absent' => sub {
    my $before = int(time * 1000);
    my $id     = create({type => 'cat', delay => 600});
    my $r      = $l->http(GET => "/api/tasks/$id");
    is $r->status, 200, 'status';
    is $r->header('Content-Type'), 'application/json', 'media type';
    my $t = $r->json;
    is_deeply [sort keys %$t], \@members, 'the members';
    is $t->{$_}, undef, "$_ is null"
        for qw(phase message group_id started_at completed_at elapsed_seconds estimated_remaining_seconds
        result result_type result_bytes error);
    is $t->{id},           $id,         'id';
    is $t->{type},         'cat',       'type';
    is $t->{status},       'pending',   'status';
    is $t->{progress},     0,           'progress';
    is $t->{priority},     0,           'priority';
    is $t->{owner},        'anonymous', 'owner';
    is $t->{attempt},      0,           'attempt';
    is $t->{max_attempts}, 1,           'max_attempts';
    is $t->{event_count},  1,           'event_count';
    is_deeply $t->{files}, [], 'files';
    is_false($t->{cancel_requested}, 'cancel_requested');
    like $t->{request_id}, qr/^[A-Za-z0-9._-]+$/,  'request_id';
    like $t->{cursor},     qr/^[^-\s]+-\d+$/,      'cursor';
    cmp_ok $t->{created_at}, '>=', $before,        'created_at';
    cmp_ok $t->{created_at}, '<=', time * 1000,    'is a time in milliseconds';
    is $t->{updated_at}, $t->{created_at},         'updated_at';
    cmp_ok abs($t->{run_at} - $t->{created_at} - 600_000), '<=', 50, 'run_at';
    is_deeply $t->{links},
        {self => "/api/tasks/$id", map { $_ => "/api/tasks/$id/$_" } qw(events result cancel retry)}, 'links';
    is cancel($id)->status, 202, '(cancelled)';
};

subtest 'a running task tells how far it is' => sub {
    my ($gate, $quiet) = (new_gate(), new_gate());
    my $id     = create({type => 'gated',  input => $gate});
    my $silent = create({type => 'silent', input => $quiet});
    my $t;
    wait_until { $t = task($id); $t->{progress} > 0 } 20;
    is_deeply [sort keys %$t], \@members, 'the members';
    is $t->{status},   'running',        'status';
    is $t->{progress}, 40,               'progress';
    is $t->{phase},    'digging',        'phase';
    is $t->{message},  'nearly "half"',  'message';
    is $t->{attempt},  1,                'attempt';
    is $t->{queue_position}, undef,      'no queue_position';
    is $t->{completed_at},   undef,      'no completed_at';
    cmp_ok $t->{started_at},      '>=', $t->{created_at}, 'started_at';
    cmp_ok $t->{elapsed_seconds}, '>',  0,                'elapsed_seconds';
    cmp_ok abs($t->{estimated_remaining_seconds} - 1.5 * $t->{elapsed_seconds}), '<', 0.01,
        'after 40 %, half as much again remains';
    my $later = task($id);
    cmp_ok $later->{elapsed_seconds}, '>', $t->{elapsed_seconds}, 'time goes on';

    my $s = once($silent, 'running');
    is $s->{progress}, 0, 'one that says nothing is at 0';
    is $s->{estimated_remaining_seconds}, undef, 'and nobody knows how long it will take';
    open_gate($_) for $gate, $quiet;

    $t = finished($id);
    is_deeply [sort keys %$t], \@members, 'the members, when it is completed';
    is $t->{progress}, 100, 'progress is 100 then';
    is $t->{estimated_remaining_seconds}, undef, 'nothing remains';
    cmp_ok $t->{completed_at}, '>=', $t->{started_at}, 'completed_at';
    cmp_ok abs($t->{elapsed_seconds} - ($t->{completed_at} - $t->{started_at}) / 1000), '<', 0.01,
        'elapsed_seconds stands still';
    is $t->{result}, 'came through', 'result';
    is finished($silent)->{progress}, 100, 'also of one that never said anything';
};

subtest 'a failed task says why' => sub {
    my $t = once(create({type => 'fails'}), 'failed');
    is_deeply [sort keys %{ $t->{error} }], [qw(code exit_status message retryable)], 'error';
    is $t->{error}{code}, 'exit_status', 'code';
    is $t->{error}{message}, 'no such luck', 'message: the last words of the job, without what colours them';
    is $t->{error}{exit_status}, 3, '... and the exit status beside them';
    my ($end) = grep { ($_->{payload}{to} // '') eq 'failed' }
        @{ $l->http(GET => "/api/tasks/$t->{id}/events", headers => {Accept => 'application/json'})->json->{events} };
    is_deeply $end->{payload}{error}, $t->{error}, '... as in its event';
    ok $t->{error}{retryable}, 'retryable';
    is $t->{result}, undef, 'no result';
    is $l->http(GET => "/api/tasks/$t->{id}/result")->status, 404, 'none to fetch either';
};

subtest 'queue_position counts who goes first' => sub {
    my $first = create({type => 'turn', group => 'turns'});
    once($first, 'running');
    my @later = map { create({type => 'turn', group => 'turns', delay => 600, priority => 9}) } 1 .. 3;
    my @ids = map { create({type => 'turn', group => 'turns'}) } 1 .. 3;
    is_deeply [map { task($_)->{queue_position} } @ids], [1, 2, 3], 'first come, first served';
    is_deeply [map { task($_)->{queue_position} } @later], [(undef) x 3], 'who waits for the time has no place, and takes none';
    my $urgent = create({type => 'turn', group => 'turns', priority => 1});
    is_deeply [map { task($_)->{queue_position} } $urgent, @ids], [1, 2, 3, 4], 'a higher priority goes first';
    cancel($ids[0]);
    is_deeply [map { task($_)->{queue_position} } $urgent, @ids], [1, undef, 2, 3], 'one that left makes room';
    cancel($_) for $urgent, @ids, @later, $first;
    once($first, 'cancelled');
};

sub list {
    my ($query) = @_;
    my $r = $l->http(GET => "/api/tasks?$query");
    is $r->status, 200, $query unless $r->status == 200;
    return $r->json;
}
sub ids_of { return [map { $_->{id} } @{ $_[0]{tasks} }] }

# The ids of all the pages, each as a list. Between two pages it calls `meanwhile`.
sub pages {
    my ($query, $meanwhile) = @_;
    my ($token, @pages) = ('');
    do {
        my $page = list("$query&page_token=$token");
        push @pages, ids_of($page);
        $token = $page->{next_page_token};
        $meanwhile->() if $meanwhile;
    } while ($token ne '' && @pages < 50);
    return @pages;
}

# Two kinds of readers, by the scopes that anonymous has here and by default under make run: to an admin
# everybody's tasks are listed.
my $admin = Leat->start(conf => "[http]\npage_size_max = 12\n");
add_jobs($admin);

for (['an owner', $l], ['an admin', $admin]) {
    (my $who, local $l) = @$_;

    subtest "lists of $who are filtered by status, type and group" => sub {
        my $done = create({type => 'cat',   group => 'list a', input => 'x'});
        my $failed = create({type => 'fails', group => 'list a'});
        my $waits = create({type => 'cat',   group => 'list b', delay => 600});
        finished($done);
        once($failed, 'failed');
        my $all = list('page_size=3');
        is_deeply ids_of($all), [$waits, $failed, $done], 'newest first';
        is_deeply [sort keys %{ $all->{tasks}[0] }], \@members, 'whole documents';
        is_deeply $all->{tasks}[2], task($done), 'the same as by itself';
        is_deeply ids_of(list('group=list+a')),              [$failed, $done], 'group';
        is_deeply ids_of(list('group=list%20b')),            [$waits],     'another group';
        is_deeply ids_of(list('group=list+a&type=fails')),   [$failed],     'group and type';
        is_deeply ids_of(list('type=fails&page_size=1')),    [$failed],     'type';
        is_deeply ids_of(list('status=pending')),            [$waits],     'status';
        is_deeply ids_of(list('status=failed&group=list+a&type=fails')), [$failed], 'all three';
        my $none = $l->http(GET => '/api/tasks?status=timeout')->body;
        is $none, '{"tasks":[],"next_page_token":""}', 'nothing is an empty list';
        is_deeply ids_of(list('type=nosuchtype')), [], 'also of an unknown type';
        cancel($waits);
    };

    subtest "pages of $who neither skip nor repeat, whatever is created meanwhile" => sub {
        my @created = map { create({type => 'cat', group => 'pages', delay => 600}) } 1 .. 25;
        my $more  = sub { create({type => 'cat', group => 'pages', delay => 600}) };
        my @pages = pages('group=pages&page_size=10', $more);
        is_deeply [map { scalar @$_ } @pages], [10, 10, 5], 'three pages';
        is_deeply [map { @$_ } @pages], [reverse @created], 'newest first, each once';

        my $page = list('group=pages&page_size=1000');
        is scalar @{ $page->{tasks} }, 12, 'a page has at most page_size_max';
        isnt $page->{next_page_token}, '', 'and says that there are more';
        is scalar @{ list('group=pages&status=pending')->{tasks} }, 12, 'no page_size is not too many';
        my $next = list("group=pages&page_size=10&page_token=$page->{next_page_token}");
        is scalar @{ $next->{tasks} }, 10, 'a token goes with any page_size';
        $page = list('group=pages&page_size=4');
        cancel($_) for @{ ids_of($page) };
        my $rest = list("group=pages&status=pending&page_size=12&page_token=$page->{next_page_token}");
        is $rest->{tasks}[0]{id}, $created[23], 'a page goes on behind tasks that have changed';

        my @pending = map { @$_ } pages('group=pages&status=pending&page_size=5');
        is scalar @pending, 24, 'pages of a group and a status';
        is_deeply [map { @$_ } pages('status=pending&page_size=5')], \@pending, 'of a status';
        my @all = map { @$_ } pages('page_size=11');
        is_deeply \@all, [reverse sort @all], 'of everything, in the order of creation';
        is_deeply [grep { my $id = $_; !grep { $_ eq $id } @all } @created], [], 'nothing is missing';
    };
}
$admin->stop;

subtest 'an unchanged task is 304' => sub {
    my $gate = new_gate();
    my $id   = create({type => 'silent', input => $gate});
    my $t    = once($id, 'running');
    my $r    = $l->http(GET => "/api/tasks/$id");
    my $etag = $r->header('ETag');
    is $etag, qq(W/"$t->{cursor}"), 'the ETag is weak, and its cursor';
    isnt $r->json->{elapsed_seconds}, $t->{elapsed_seconds}, 'elapsed time does not count';
    for my $has ($etag, $etag =~ s{^W/}{}r, qq("other", $etag), '*') {
        my $same = $l->http(GET => "/api/tasks/$id", headers => {'If-None-Match' => $has});
        is $same->status, 304, "If-None-Match: $has";
        is $same->body,   '',  'no body';
        is $same->header('ETag'), $etag, 'the ETag again';
    }
    is $l->http(GET => "/api/tasks/$id", headers => {'If-None-Match' => $_})->status, 200, "If-None-Match: $_"
        for 'W/"0-0"', $t->{cursor}, '""';
    open_gate($gate);
    finished($id);
    $r = $l->http(GET => "/api/tasks/$id", headers => {'If-None-Match' => $etag});
    is $r->status . ' ' . $r->json->{status}, '200 completed', 'a changed one is sent';
    isnt $r->header('ETag'), $etag, 'with a new ETag';

    my ($running, $first, $second) = map { create({type => 'turn', group => 'places'}) } 1 .. 3;
    once($running, 'running');
    $etag = $l->http(GET => "/api/tasks/$second")->header('ETag');
    my $place = task($second)->{queue_position};
    cancel($first);
    isnt task($second)->{queue_position}, $place, 'a task has moved up';
    is $l->http(GET => "/api/tasks/$second", headers => {'If-None-Match' => $etag})->status, 304,
        'that does not count either';
    cancel($_) for $second, $running;
};

subtest 'Prefer: wait on a GET answers when the task changes' => sub {
    my $gate = new_gate();
    my $id   = create({type => 'silent', input => $gate});
    once($id, 'running');
    my $etag = $l->http(GET => "/api/tasks/$id")->header('ETag');

    my @waiting = (
        ask("/api/tasks/$id", Prefer => 'wait=20', 'If-None-Match' => $etag),
        ask("/api/tasks/$id", Prefer => 'wait=20'),
    );
    my $begin = time;
    my $end = $l->http(GET => "/api/tasks/$id", headers => {Prefer => 'wait=1', 'If-None-Match' => $etag});
    my $took = time - $begin;
    is $end->status, 304, '304 when the time ends first';
    is $end->header('ETag'), $etag, 'with the ETag';
    is $end->header('Preference-Applied'), 'wait=1', 'which says that it waited';
    cmp_ok $took, '>=', 0.95, 'not before';
    ok !IO::Select->new(@waiting)->can_read(0), 'others still wait';
    open_gate($gate);
    for my $how ('with the ETag', 'without one') {
        my $r = answer_of(shift @waiting);
        is $r->status . ' ' . $r->{json}{status}, '200 completed', "who waits $how is told";
        isnt $r->header('ETag'), $etag, 'with a new ETag';
        is $r->header('Preference-Applied'), 'wait=20', 'and that its wish counted';
    }
    is $l->http(GET => "/api/tasks/$id")->header('Preference-Applied'), undef, 'who wishes nothing is told nothing';

    $begin = time;
    my $wait = sub {
        my ($path, @more) = @_;
        return $l->http(GET => "/api/tasks$path", headers => {Prefer => 'wait=20', @more})->status;
    };
    is $wait->("/$id", 'If-None-Match' => $etag), 200, 'who comes late need not wait';
    is $wait->("/$id"),      200, 'nor who asks for a finished task';
    is $wait->('?page_size=1'), 200, 'nor who asks for a list';
    is $wait->("/$unknown"), 404, 'nor for what does not exist';
    cmp_ok time - $begin, '<', 10, 'at once';
};

subtest 'a pending task is cancelled at once' => sub {
    my $id = create({type => 'cat', delay => 600});
    my $r  = cancel($id);
    is $r->status, 202, 'status';
    my $t = $r->json;
    is_deeply [sort keys %$t], \@members, 'the task';
    is $t->{status}, 'cancelled', 'cancelled';
    is $t->{error}{code}, 'cancelled', 'error';
    is $t->{queue_position}, undef, 'it waits no longer';
    is $t->{started_at},     undef, 'and never started';
    ok $t->{completed_at},     'completed_at';
    ok $t->{cancel_requested}, 'cancel_requested';
    $r = cancel($id);
    is $r->status . ' ' . $r->json->{code}, '409 state', 'once';
    is_deeply task($id), $t, 'and nothing has changed';
};

subtest 'a running task is stopped' => sub {
    my $id = create({type => 'silent', input => new_gate()});
    once($id, 'running');
    isnt scalar(processes_of($id)), 0, 'it has a process';
    my $r = cancel($id);
    is $r->status, 202, 'status';
    ok $r->json->{cancel_requested}, 'cancel_requested';
    my $t = once($id, 'cancelled');
    is $t->{error}{code}, 'cancelled', 'error';
    ok $t->{completed_at}, 'completed_at';
    is scalar(processes_of($id)), 0, 'its process is gone';
    is cancel($id)->status, 409, 'a second time is too late';
    is cancel(finished_one())->status, 409, 'as it is for a finished task';
    is cancel($unknown)->status, 404, 'an unknown one is 404';
};

# The processes that work for a task.
sub processes_of {
    my ($id) = @_;
    return grep { Leat::slurp("$_/environ") =~ /\0LEAT_TASK_ID=$id\0/ } glob '/proc/[0-9]*';
}

sub finished_one { return finished(create({type => 'cat', input => 'x'}))->{id} }

subtest 'a result is JSON or text in the document, and exact by itself' => sub {
    my @cases = (
        ['JSON', 'cat', qq({"b": [1, null],\n "a": "\xc3\xa4"}\n), {b => [1, undef], a => "\x{e4}"},
            'application/json'],
        ['a number',      'cat', "42\n", 42, 'application/json'],
        ['a JSON string', 'cat', '"x"', 'x', 'application/json'],
        ['text', 'cat', "gr\xc3\xb6\xc3\x9fer\n  < 3\n\n", "gr\x{f6}\x{df}er\n  < 3\n",
            'text/plain; charset=utf-8'],
        ['text that begins like JSON', 'cat', '{"a":', '{"a":', 'text/plain; charset=utf-8'],
        ['what its conf says', 'svg', '<svg/>', '<svg/>', 'image/svg+xml'],
    );
    my @ids = map { create({type => $_->[1], input => decode('UTF-8', $_->[2])}) } @cases;
    for my $case (@cases) {
        my ($what, undef, $bytes, $value, $type) = @$case;
        my $t = finished(shift @ids);
        is_deeply $t->{result}, $value, "$what: in the document";
        is $t->{result_type},  $type,         'result_type';
        is $t->{result_bytes}, length $bytes, 'result_bytes';
        my $r = $l->http(GET => $t->{links}{result});
        is $r->status, 200, 'status';
        is $r->body, $bytes, 'the bytes';
        is $r->header('Content-Type'), $type, 'its media type';
        is $r->header('X-Content-Type-Options'), 'nosniff', 'which is not to be doubted';
        like $r->header('Content-Security-Policy'), qr/sandbox/, 'and never a page of this site';
    }
};

subtest 'there is no result before the end, nor when nothing was written' => sub {
    my $gate = new_gate();
    my $id   = create({type => 'silent', input => $gate});
    for my $when (qw(pending-or-running running)) {
        my $r = $l->http(GET => "/api/tasks/$id/result");
        is $r->status . ' ' . $r->json->{code}, '409 not_finished', $when;
        once($id, 'running');
    }
    open_gate($gate);
    my $t = finished($id);
    is_deeply [@$t{qw(result result_type result_bytes)}], [undef, undef, undef], 'a silent job has none';
    my $r = $l->http(GET => "/api/tasks/$id/result");
    is $r->status . ' ' . $r->json->{code}, '404 not_found', 'none to fetch';
    is $l->http(GET => "/api/tasks/$unknown/result")->status, 404, 'nor has an unknown task';
};

subtest 'the log is text, and can be followed' => sub {
    my $gate = new_gate();
    my $id   = create({type => 'gated', input => $gate});
    my $live = $l->stream("/api/tasks/$id/log?follow=1", headers => {Accept => '*/*'});
    is $live->status, 200, 'status';
    is $live->header('Content-Type'), 'text/plain; charset=utf-8', 'media type';
    is $live->next_line(20), 'first line', 'a line comes when it is written';
    is task($id)->{status}, 'running', 'long before the end';
    my $r = $l->http(GET => "/api/tasks/$id/log");
    is $r->status . ' ' . $r->body, "200 first line\n", 'without follow: what there is';
    is $r->header('Content-Type'), 'text/plain; charset=utf-8', 'media type';
    open_gate($gate);
    is $live->next_line(20), 'second line', 'the next line';
    is $live->next_line(20), undef, 'then nothing more';
    ok $live->eof && !$live->broken, 'it ends with the task';
    is task($id)->{status}, 'completed', 'which is finished';
    is $l->http(GET => "/api/tasks/$id/log$_")->body, "first line\nsecond line\n", "afterwards: /log$_"
        for '', '?follow=1', '?follow=0';
    my $quiet = finished_one();
    is $l->http(GET => "/api/tasks/$quiet/log$_")->body, '', "nothing is nothing: /log$_" for '', '?follow=1';
    is $l->http(GET => "/api/tasks/$unknown/log")->status, 404, 'an unknown task';
};

subtest 'HEAD is GET without a body' => sub {
    my $id = finished_one();
    my @paths = ("/tasks/$id", "/tasks/$id/result", "/tasks/$id/log", '/tasks?page_size=1', '/health', '/nothing');
    for my $path (map { "/api$_" } @paths) {
        my $get  = $l->http(GET => $path);
        my $head = $l->stream($path, method => 'HEAD', headers => {Accept => '*/*'});
        is $head->status, $get->status, "$path: status";
        is $head->header($_), $get->header($_), $_ for qw(Content-Type ETag);
        is $head->header('Content-Length') // length $get->body, length $get->body, 'Content-Length, if any';
        is $head->body, '', 'no body';
    }
    is $l->http(HEAD => "/api/tasks/$id", headers => {'If-None-Match' => '*'})->status, 304, 'conditional too';
};

subtest 'health is 200 only while a runner lives' => sub {
    my $site = Leat->start(conf => "[runner]\nlease_seconds = 1\n");
    my $health = sub { $site->http(GET => '/api/health') };
    my $r = $health->();
    is $r->status, 200, 'healthy';
    is $r->json->{status}, 'ok', 'and says so';

    my $runner = $site->stop_runner;
    my $noticed = wait_until { $r = $health->(); $r->status == 503 } 10;
    kill CONT => $runner;
    ok $noticed, 'a runner that does nothing is noticed';
    is $r->header('Content-Type'), 'application/problem+json', 'a problem';
    my $problem = $r->json;
    is_deeply $problem, {
        type => 'about:blank', title => 'Service Unavailable', status => 503, detail => 'no runner is alive', code => 'unavailable',
        retryable => JSON::PP::true, request_id => $r->header('X-Request-ID'), database => JSON::PP::true, runner => JSON::PP::false, broken_types => [],
    }, 'that says what is missing';
    ok $r->header('Retry-After'), 'Retry-After';
    my $again = wait_until { $health->()->status == 200 } 10;
    ok $again, 'so is that it works again';

    ($runner) = $site->pids('runner');
    kill KILL => $runner;
    my $new = wait_until { my ($pid) = $site->pids('runner'); $pid && $pid != $runner } 5;
    ok $new, 'one that is killed is started again';
    # until the lease of the dead one ends, it may pass for alive
    my $id = $site->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'a'})->json->{task_id};
    my $works = wait_until { $site->http(GET => "/api/tasks/$id")->json->{status} eq 'completed' } 10;
    ok $works, 'and works';
    is $health->()->status, 200, 'healthy again';
    $site->stop;
};

$l->stop;
done_testing;
