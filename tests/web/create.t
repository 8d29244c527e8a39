# Creating a task: what a client may send, what it is answered, and what then arrives at the job.
use strict;
use warnings;
use Fcntl qw(LOCK_EX);
use Leat;
use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $l = Leat->start;

# what it was given: the media type of its input, then every byte
$l->job(mirror => <<'JOB');
#!/bin/sh
printf '<%s>' "$LEAT_CONTENT_TYPE"
exec cat
JOB
Leat::write_file($l->jobs . '/mirror.conf', "attempts = 7\n");

# sleeps as many seconds as its input says
$l->job(nap => "#!/bin/sh\nexec sleep \"\$(cat)\"\n");

# succeeds at the third attempt
$l->job(third => "#!/bin/sh\n[ \"\$LEAT_ATTEMPT\" = 3 ]\n", "backoff = 0\nattempts = 5\n");

# has one second
$l->job(brief => "#!/bin/sh\nexec sleep \"\$(cat)\"\n", "timeout = 1\n");

# runs until the file is there
my $gate = "$l->{dir}/gate";
$l->job($_ => "#!/bin/sh\nwhile [ ! -e $gate ]; do sleep 0.05; done\necho through\n") for qw(gated watched);

sub create {
    my ($fields, %opt) = @_;
    return $l->http(POST => '/api/tasks', json => $fields, %opt);
}

# The task of an answer, when it has ended.
sub finished {
    my ($r) = @_;
    my $id = $r->json && $r->json->{task_id} or return {status => "refused: $r->{status} $r->{body}"};
    my $task;
    wait_until {
        $task = $l->http(GET => "/api/tasks/$id")->json;
        $task && $task->{status} !~ /^(?:pending|running)$/
    } 20;
    return $task;
}

sub cancel { return $l->http(POST => "/api/tasks/$_[0]{json}{task_id}/cancel")->status }

# What its job wrote.
sub output {
    my ($r) = @_;
    my $task = finished($r);
    return $task->{id} ? $l->http(GET => "/api/tasks/$task->{id}/result")->body : $task->{status};
}

# Sends a POST on a connection of its own; answer_of() waits for what comes back.
sub ask {
    my ($server, $json, %headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port)
        or die "connect: $@";
    %headers = (
        %headers,
        Host             => 'localhost',
        Connection       => 'close',
        'Content-Type'   => 'application/json',
        'Content-Length' => length $json,
    );
    print {$socket} join "\r\n", 'POST /api/tasks HTTP/1.1', (map { "$_: $headers{$_}" } keys %headers), '', $json;
    $socket->flush;
    return $socket;
}

sub answer_of {
    my ($socket) = @_;
    my ($head, $body) = split /\r\n\r\n/, do { local $/; readline($socket) // '' }, 2;
    close $socket;
    my $answer = Leat::Answer::parse($head);
    $answer->{json} = eval { decode_json($body) };
    return $answer;
}

# A command as the manual has it, at this server: its output.
sub shell {
    my ($command) = @_;
    local $ENV{no_proxy} = '*';
    $command =~ s/localhost:8080/'localhost:' . $l->port/ge;
    open my $out, '-|', 'timeout', '20', 'sh', '-c', $command or die "sh: $!";
    local $/;
    my $said = readline($out) // '';
    close $out;
    return $said;
}

# The envelopes of an event stream's text.
sub events_in { return map { decode_json($_) } $_[0] =~ /^data: (.*)$/mg }

my $uuid7 = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

subtest 'an accepted task is answered with 202, where it is and its document' => sub {
    my $r = create({type => 'mirror', input => 'x'}, headers => {'X-Request-ID' => 'from-the-test.1'});
    is $r->status, 202, 'status';
    is $r->header('Content-Type'), 'application/json', 'media type';
    my $j  = $r->json;
    my $id = $j->{task_id};
    like $id, qr/^$uuid7$/, 'task_id';
    is $r->header('Location'), "/api/tasks/$id", 'Location';
    ok $j->{success}, 'success';
    is $j->{status}, 'pending', 'status of the task';
    is_deeply [sort keys %$j], [qw(links status success task task_id)], 'members';
    is_deeply $j->{links}, {
        self   => "/api/tasks/$id",
        events => "/api/tasks/$id/events",
        result => "/api/tasks/$id/result",
        cancel => "/api/tasks/$id/cancel",
        retry  => "/api/tasks/$id/retry",
        },
        'links';
    is_deeply $j->{task}{links}, $j->{links}, 'the same in the document';
    is $j->{task}{id},         $id,                'id in the document';
    is $j->{task}{status},     'pending',          'status in the document';
    is $j->{task}{request_id}, 'from-the-test.1',  'the request is known by the name it came with';
    is $r->header('X-Request-ID'), 'from-the-test.1', 'and answered with it';
    is $l->http(GET => $r->header('Location'))->json->{id}, $id, 'it is there';
};

subtest 'ids sort by creation' => sub {
    my @ids = map { create({type => 'mirror'})->json->{task_id} } 1 .. 5;
    is_deeply [sort @ids], \@ids;
};

subtest 'every field of the JSON request counts' => sub {
    my $r = create({type => 'mirror', group => "chat 7/\xc3\xa4", priority => -5, max_attempts => 4});
    my $task = $r->json->{task};
    is $task->{type},         'mirror', 'type';
    is $task->{priority},     -5,       'priority';
    is $task->{max_attempts}, 4,        'max_attempts';
    is $task->{run_at},       undef,    'run_at is null when not asked for';

    $r = $l->http(
        POST    => '/api/tasks',
        headers => {'Content-Type' => 'application/json; charset=utf-8'},
        body    => qq({"type":"mirror","group":"chat 7/\xc3\xa4","priority":2.0,)
            . '"input":null,"run_at":null,"delay":null,"timeout":null,"max_attempts":null}'
    );
    is $r->status, 202, 'null is as good as absent';
    is $r->json->{task}{group_id}, "chat 7/\x{e4}", 'group';
    is $r->json->{task}{priority}, 2, 'a whole number may be written 2.0';

    my $late = int((time + 0.8) * 1000);
    my $at = create({type => 'mirror', run_at => $late});
    my $in = create({type => 'mirror', delay => 0.6});
    my $past = create({type => 'mirror', run_at => 1000});
    is $at->json->{task}{run_at}, $late, 'run_at';
    my $asked = $in->json->{task};
    is $asked->{run_at} - $asked->{created_at}, 600, 'delay counts from its creation';
    my @large = map { create({type => 'mirror', delay => 3600, input => ['x' x 500_000]}) } 1 .. 10;
    is_deeply [map { $_->json->{task}{run_at} - $_->json->{task}{created_at} } @large], [(3_600_000) x 10],
        '... also of a request that takes its time to read';
    cancel($_) for @large;
    is finished($past)->{status}, 'completed', 'a time that is past means at once';
    my ($task_at, $task_in) = (finished($at), finished($in));
    cmp_ok $task_at->{started_at}, '>=', $late, 'not before run_at';
    cmp_ok $task_in->{started_at}, '>=', $asked->{run_at}, 'not before the delay is over';

    my $slow = finished(create({type => 'nap', input => '30', timeout => 0.3}));
    is $slow->{status}, 'timeout', 'timeout';
    cmp_ok $slow->{elapsed_seconds}, '<', 10, 'is in seconds';
    my $third = finished(create({type => 'third', max_attempts => 3}));
    is "$third->{status} $third->{attempt}", 'completed 3', 'max_attempts are made';
    my $second = finished(create({type => 'third', max_attempts => 2}));
    is "$second->{status} $second->{attempt}", 'failed 2', '... and no more';
};

subtest 'timeout and max_attempts lower what the type says, and never raise it' => sub {
    is create({type => 'third', max_attempts => $_->[0]})->json->{task}{max_attempts}, $_->[1], "$_->[0] of 5"
        for [1 => 1], [5 => 5], [6 => 5], [100 => 5], [1e9 => 5], [1e300 => 5];
    my $brief = create({type => 'brief', input => '60', timeout => 1e300});
    is $brief->status, 202, 'a larger timeout is not refused';
    is finished($brief)->{status}, 'timeout', '... and does not count';
    $brief = $l->http(POST => '/api/tasks?type=brief&timeout=99999999999&max_attempts=99999999999', body => '60');
    is $brief->json->{task}{max_attempts}, 1, 'in the query neither';
    is finished($brief)->{status}, 'timeout', '... the timeout too';
};

subtest 'the input of a JSON request arrives as text or as JSON text' => sub {
    my $text = 'text/plain; charset=utf-8';
    my $json = 'application/json';
    my @cases = (
        ['a string without its quotes', '"one \\"two\\"\\n\\tthree"', $text, qq(one "two"\n\tthree)],
        ['a string as UTF-8', qq("\xe2\x82\xac \\u00e4 \\ud83d\\ude00"), $text,
            "\xe2\x82\xac \xc3\xa4 \xf0\x9f\x98\x80"],
        ['a NUL in a string', '"a\\u0000b"', $text, "a\0b"],
        ['a number',          '42',          $json, '42'],
        ['false',             'false',       $json, 'false'],
        ['an empty object',   '{}',          $json, '{}'],
        ['an object as it was written', '{"z": [1, 2.50, null], "a": {"b": 0.1}}', $json,
            '{"z": [1, 2.50, null], "a": {"b": 0.1}}'],
        ['numbers of any size, digit for digit', '[12345678901234567890123,-1e999, 9.9E+400]', $json,
            '[12345678901234567890123,-1e999, 9.9E+400]'],
        ['an empty string', '""', $text, ''],
        ['null',            'null', '', ''],
    );
    my @answers = map {
        my $body = qq({"input":$_->[1],"type":"mirror"});
        $l->http(POST => '/api/tasks', headers => {'Content-Type' => $json}, body => $body)
    } @cases;
    for my $i (0 .. $#cases) {
        my ($what, undef, $type, $bytes) = @{ $cases[$i] };
        is output($answers[$i]), "<$type>$bytes", $what;
    }
    is output(create({type => 'mirror'})), '<>', 'none';
};

subtest 'curl -d needs no Content-Type' => sub {
    chomp(my $id = shell(<<'SH'));
id=$(curl -sf localhost:8080/api/tasks -d '{"type":"wordcount","input":"one two"}' | jq -r .task_id)
echo $id
SH
    like $id, qr/^$uuid7$/, 'created';
    my @events = events_in(shell("curl -N -s localhost:8080/api/tasks/$id/events"));
    is $events[-1]{type}, 'stream.end', 'its stream ends by itself';
    my ($end) = grep { ($_->{payload}{to} // '') eq 'completed' } @events;
    is $end->{payload}{result}, 2, 'and has shown the result';

    my $body = qq(\r\n {"type":"wordcount"});
    is $l->http(POST => '/api/tasks', body => $body)->status, 202, 'no Content-Type';
    is $l->http(POST => '/api/tasks', body => $body, headers => {'Content-Type' => $_})->status, 202, $_
        for 'application/x-www-form-urlencoded; charset=utf-8', 'text/json', 'Application/JSON',
        'application/vnd.example+json; v=1';
};

subtest 'with type in the query the body is the raw input, whatever its Content-Type' => sub {
    my $bytes = join('', map { chr } 0 .. 255) . "\r\n{\"type\":\"nap\"}\n\0";
    my @types = ('application/json', 'application/x-www-form-urlencoded', 'image/jpeg',
        'text/plain; charset=latin1', 'multipart/form-data; boundary=x');
    my $post  = sub { return $l->http(POST => '/api/tasks?type=mirror', @_) };
    my @made  = map { $post->(body => $bytes, headers => {'Content-Type' => $_}) } @types;
    is output(shift @made), "<$_>$bytes", $_ for @types;
    my $unnamed = "<application/octet-stream>$bytes";
    is output($post->(body => $bytes)), $unnamed, 'none';
    is output($post->(body => $bytes, curl => ['-H', 'Transfer-Encoding: chunked'])), $unnamed,
        'a body whose length is not known before its end';
    is output($post->(body => '')), '<>', 'an empty body';
    is output($post->()), '<>', 'no body';

    my $late = int((time + 600) * 1000);
    my $query = "type=mirror&group=a%20b+%C3%A4&priority=-3&max_attempts=7&run_at=$late&timeout=2.5";
    my $r     = $l->http(POST => "/api/tasks?$query", body => 'x');
    is_deeply [@{ $r->json->{task} }{qw(type group_id priority max_attempts run_at)}],
        ['mirror', "a b \x{e4}", -3, 7, $late], 'the other fields are in the query';
    is cancel($r), 202, '(cancelled)';
    my $slow = finished($l->http(POST => '/api/tasks?type=nap&timeout=0.3', body => '30'));
    is $slow->{status}, 'timeout', 'timeout too';
};

subtest 'a client that accepts an event stream is answered by the events' => sub {
    for my $accept ('text/event-stream', 'application/json;q=0.5, Text/Event-Stream', 'application/json, text/event-stream', 'text/event-stream, */*') {
        my $r = create({type => 'wordcount', input => 'a'}, headers => {Accept => $accept});
        is $r->status, 200, $accept;
        is $r->header('Content-Type'), 'text/event-stream; charset=utf-8', 'Content-Type';
        is $r->header('Location'), undef, 'no redirect';
        my ($first, @events) = events_in($r->body);
        is $first->{type}, 'stream.connected', 'a stream from its begin';
        is $r->header('Content-Location'), "/api/tasks/$events[0]{task_id}/events", 'Content-Location';
        is_deeply [map { $_->{task_seq} // $_->{type} } @events], [1 .. @events - 1, 'stream.end'], 'to its end';
    }
    is create({type => 'wordcount'}, headers => {Accept => $_})->status, 202, $_
        for '*/*', 'text/*', 'application/json', 'text/event-stream;q=0', 'application/json, text/event-stream;q=0.5';

    # each event comes when it happens
    my $s = $l->stream('/api/tasks?type=watched', method => 'POST', body => '');
    is $s->status, 200, 'the answer does not wait for the task';
    my $running = $s->next_event(20, 'task.status_changed');
    is $running->{json}{payload}{to}, 'running', 'nor an event';
    my ($id) = $s->header('Content-Location') =~ m{^/api/tasks/($uuid7)/events$};
    my $again = $l->stream($s->header('Content-Location'), headers => {Accept => 'text/event-stream', 'Last-Event-ID' => $running->{id}});
    Leat::write_file($gate, '');
    is_deeply [map { $_->{raw} } $again->rest(20)]->[1], [map { $_->{raw} } $s->rest(20)]->[0], 'Content-Location goes on with them';
    is $l->http(GET => "/api/tasks/$id")->json->{status}, 'completed', 'it is that task';
    unlink $gate;
    my $both = create({type => 'wordcount'}, headers => {Accept => 'text/event-stream', Prefer => 'wait=20'});
    is $both->header('Content-Type'), 'text/event-stream; charset=utf-8', 'a stream wins over Prefer';

    Leat::write_file("$l->{dir}/three.txt", "eins zwei\ndrei\n");
    my @events = events_in(shell(<<"SH"));
cd $l->{dir}
curl -sfL -N -H 'Accept: text/event-stream' --data-binary \@three.txt 'localhost:8080/api/tasks?type=wordcount'
SH
    is $events[0]{type}, 'stream.connected', 'one curl submits and watches';
    my @steps = map { $_->{payload}{to} } grep { $_->{type} eq 'task.status_changed' } @events;
    is_deeply \@steps, [qw(running completed)], 'each step';
    is $events[-1]{type} . ' ' . ($events[-1]{payload}{reason} // ''), 'stream.end finished', 'to the end';
    is((grep { ($_->{payload}{to} // '') eq 'completed' } @events)[0]{payload}{result}, 3, 'with the result');
};

subtest 'Prefer: wait answers with the finished task' => sub {
    my $begin = time;
    my $r = create({type => 'wordcount', input => 'a b c'}, headers => {Prefer => 'wait=20'});
    my $took = time - $begin;
    is $r->status, 200, 'status';
    cmp_ok $took, '<', 10, 'as soon as it is finished';
    my $j = $r->json;
    is $r->header('Preference-Applied'), 'wait=20', 'Preference-Applied';
    is $r->header('Location'), "/api/tasks/$j->{task_id}", 'Location';
    is $r->header('Content-Type'), 'application/json', 'media type';
    is $r->header('Cache-Control'), 'no-store', 'Cache-Control, once';
    ok $j->{success}, 'success';
    is $j->{status}, 'completed', 'status';
    is $j->{result}, 3,           'result';
    is $j->{task}{result}, 3, 'the document too';
    is $j->{task}{id}, $j->{task_id}, 'of this task';
    is $r->header('X-Request-ID'), $j->{request_id}, 'one request, one name, whoever answers it';

    $r = create({type => 'nap', input => 'x'}, headers => {Prefer => 'respond-async, wait=20'});
    is $r->status . ' ' . $r->json->{status}, '200 failed', 'a failure is an end too';
    is $r->json->{error}{code}, 'exit_status', 'and says why';
    $r = $l->http(POST => '/api/tasks?type=mirror', body => "\xff\0", headers => {Prefer => 'wait=20'});
    is $r->status . ' ' . $r->json->{result_bytes}, '200 28', 'a raw body as well';
};

subtest 'Prefer: wait gives up in time' => sub {
    my $begin = time;
    my $r = create({type => 'nap', input => '30'}, headers => {Prefer => 'wait=1'});
    my $took = time - $begin;
    is $r->status, 202, 'status';
    is $r->header('Preference-Applied'), 'wait=1', 'Preference-Applied';
    is $r->header('Location'), '/api/tasks/' . $r->json->{task_id}, 'Location';
    is_deeply [sort keys %{ $r->json }], [qw(links status success task task_id)], 'an answer as without waiting';
    cmp_ok $took, '>=', 0.95, 'not before';
    cmp_ok $took, '<',  5,    'nor much later';
    is cancel($r), 202, '(cancelled)';

    $begin = time;
    $r = create({type => 'nap', input => '0.5'}, headers => {Prefer => 'wait=0'});
    is $r->status . ' ' . $r->header('Preference-Applied'), '202 wait=0', 'wait=0';
    for my $prefer ('wait', 'wait=soon', 'wait=-1', 'return=minimal') {
        $r = create({type => 'nap', input => '0.5'}, headers => {Prefer => $prefer});
        is $r->status, 202, "'$prefer' is not understood";
        is $r->header('Preference-Applied'), undef, 'so ignored';
    }
    cmp_ok time - $begin, '<', 5, 'at once';
};

subtest 'twenty who wait keep nobody else waiting' => sub {
    my @waiting = map { ask($l, '{"type":"gated"}', Prefer => 'wait=20') } 1 .. 20;
    my $created = wait_until { 20 == @{ $l->http(GET => '/api/tasks?type=gated')->json->{tasks} } } 10;
    ok $created, 'all are created';
    for (1 .. 10) {
        is $l->http(GET => '/api/health')->status, 200, 'a GET is answered';
        is create({type => 'wordcount'})->status,  202, 'a POST is answered';
    }
    ok !IO::Select->new(@waiting)->can_read(0), 'while all of them wait';
    Leat::write_file($gate, '');
    my @answers = map { answer_of($_) } @waiting;
    is_deeply [map { $_->status } @answers], [(200) x 20], 'each gets its answer';
    is_deeply [map { $_->{json}{result} } @answers], [('through') x 20], 'with the result';
    my %ids = map { $_->{json}{task_id} => 1 } @answers;
    is keys %ids, 20, 'of its own task';
};

subtest 'the wait is capped' => sub {
    my $short = Leat->start(conf => "[http]\nwait_seconds_max = 2\n");
    $short->job(nap => "#!/bin/sh\nexec sleep \"\$(cat)\"\n");
    my $waits = sub {
        my ($seconds, $prefer) = @_;
        my $begin = time;
        my $nap   = {type => 'nap', input => $seconds};
        my $r     = $short->http(POST => '/api/tasks', json => $nap, headers => {Prefer => $prefer});
        return ($r, time - $begin);
    };
    my ($r, $took) = $waits->('30', 'wait=3600');
    is $r->status . ' ' . $r->header('Preference-Applied'), '202 wait=2', 'an hour is two seconds here';
    cmp_ok $took, '<', 5, 'indeed';
    is $short->http(POST => '/api/tasks/' . $r->json->{task_id} . '/cancel')->status, 202, '(cancelled)';
    $short->stop;
};

subtest 'leat.fcgi is a CGI program as well, and then waits itself' => sub {
    my $json = '{"type":"mirror","input":"by CGI"}';
    my $r = $l->cgi(POST => '/api/tasks', $json, CONTENT_TYPE => 'application/json');
    is $r->status, 202, 'create';
    is output($r), '<text/plain; charset=utf-8>by CGI', 'it reaches the job';
    $r = $l->cgi(POST => '/api/tasks?type=mirror', "\0\xff", CONTENT_TYPE => 'image/png', HTTP_PREFER => 'wait=20');
    is $r->status . ' ' . $r->json->{status}, '200 completed', 'create and wait';
    is $r->header('Preference-Applied'), 'wait=20', 'Preference-Applied';
    is $l->http(GET => $r->json->{links}{result})->body, "<image/png>\0\xff", 'every byte';
    my $begin = time;
    $r = $l->cgi(POST => '/api/tasks?type=nap', '30', HTTP_PREFER => 'wait=1');
    my $took = time - $begin;
    is $r->status, 202, 'and give up in time';
    cmp_ok $took, '>=', 0.95, 'not before';
    cmp_ok $took, '<',  5,    'nor much later';
    is cancel($r), 202, '(cancelled)';
    my $task = $l->cgi(GET => '/api/tasks/' . $r->json->{task_id}, '');
    is $task->status . ' ' . $task->json->{id}, '200 ' . $r->json->{task_id}, 'read';
    $r = $l->cgi(POST => '/api/tasks', $json, CONTENT_TYPE => 'application/json', HTTP_ACCEPT => 'text/event-stream');
    like $r->status . ' ' . $r->header('Content-Location'), qr{^200 /api/tasks/$uuid7/events$}, 'answered by the events';
    is +(events_in($r->{body}))[-1]{payload}{reason}, 'finished', 'to their end';
    my $count = sub { scalar @{ $l->cgi(GET => '/api/tasks?type=mirror&page_size=200', '')->json->{tasks} } };
    my $before = $count->();
    $r = $l->cgi(POST => '/api/tasks?type=mirror', 'half', CONTENT_LENGTH => 9);
    is $r->status . ' ' . $r->json->{code}, '400 bad_request', 'half a body is refused';
    is $count->(), $before, 'and makes no task';
    $r = $l->cgi(GET => '/', '', REQUEST_URI => '', SCRIPT_NAME => '');
    is $r->status . ' ' . $r->json->{code}, '404 not_found', 'a request without any path';
};

subtest 'as a CGI program it also answers when it cannot open the database' => sub {
    my $json = '{"type":"mirror"}';
    my $r = $l->cgi(POST => '/api/tasks', $json, CONTENT_TYPE => 'application/json', LEAT_DATABASE_PATH => "$l->{dir}/none/leat.db");
    is $r->status, 500, 'a folder that is not there';
    is $r->header('Content-Type'), 'application/problem+json', '... is a problem';
    unlike $r->{body}, qr{none/leat}, '... that does not tell where the database is';
    mkdir "$l->{dir}/locked" or die;
    my $path = "$l->{dir}/locked/leat.db";
    open my $lock, '>', "$path.lock" or die;
    flock $lock, LOCK_EX or die;
    my @locked = (LEAT_DATABASE_PATH => $path, LEAT_DATABASE_BUSY_MS => 50);
    $r = $l->cgi(POST => '/api/tasks', $json, CONTENT_TYPE => 'application/json', @locked);
    is $r->status, 503, 'a database that somebody else is at work in';
    is $r->json->{code}, 'database_busy', '... is busy';
    ok $r->header('Retry-After'), '... for a while';
    $r = $l->cgi(GET => '/api/events', '', HTTP_ACCEPT => 'text/event-stream', @locked);
    is $r->status, 200, 'a stream ends in a way that EventSource comes back from';
    like $r->{body}, qr/^retry: \d+\n.*"stream\.end".*"overloaded"/s, '... which says why';
};

$l->stop;
done_testing;
