#!/usr/bin/perl
# Dialects: the same events and tasks, in the words of older front ends.
use strict;
use warnings;
use ByHand;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Leat;
use Test::More;
use Time::HiRes qw(time);

my $build = abs_path(dirname(__FILE__) . '/../..') . '/' . ($ENV{BUILD} || 'build');
$build = $ENV{BUILD} if ($ENV{BUILD} // '') =~ m{^/};

# One word of the map is the site's own; streams are so short that their end is seen.
my $l = Leat->start(conf => "[dialect]\nrepo_status = failed = broken, completed/work = worked, running/slow = slowly\n[stream]\nstream_seconds = 3\n");

$l->job(work => <<'JOB');
#!/bin/sh
echo '<4>careful' >&2
echo '{"progress":40,"phase":"llm","message":"half"}' >&3
echo '{"type":"doc.created","payload":{"type":"pdf","page":1}}' >&3
echo '{"rows":3,"status":"fine"}'
JOB
$l->job(bad   => "#!/bin/sh\necho 25 >&3\necho no good >&2\nexit 3\n");
$l->job(stuck => "#!/bin/sh\necho 25 >&3\nexec sleep 30\n", "timeout = 0.2\nkill_grace = 0\n");
$l->job(long  => "#!/bin/sh\nexec sleep 30\n", "kill_grace = 0\n");

my $json = {Accept => 'application/json'};
my $iso  = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

sub create { return $l->http(POST => '/api/tasks', json => {@_})->json->{task_id} }

sub task { return $l->http(GET => "/api/tasks/$_[0]")->json }

sub finished {
    my ($id) = @_;
    wait_until { task($id)->{status} !~ /^(?:pending|running)$/ } 10;
    return $id;
}

# What a stream says of a task, without its beginning and its end.
sub told {
    my ($path) = @_;
    return grep { ($_->{json}{type} // '') !~ /^(?:connected$|stream\.)/ } $l->stream($path)->rest;
}

sub types { return join ' ', map { $_->{json}{type} } @_ }

# The only one of this type.
sub one {
    my ($type, @frames) = @_;
    my @found = grep { $_->{json}{type} eq $type } @frames;
    return @found == 1 ? $found[0]{json} : {type => @found . " of $type"};
}

my %done = (
    work  => create(type => 'work', group => 'g'),
    bad   => create(type => 'bad', group => 'bad'),
    stuck => create(type => 'stuck'),
    long  => create(type => 'long'),
);
wait_until { task($done{long})->{status} eq 'running' };
$l->http(POST => "/api/tasks/$done{long}/cancel");
finished($_) for values %done;
my $work = "/api/tasks/$done{work}/events";

subtest 'flat' => sub {
    my @all = $l->stream("$work?dialect=flat")->rest;
    is_deeply [sort keys %{ $all[0]{json} }], [qw(message taskId timestamp type)], 'it begins with connected';
    is $all[0]{json}{type},   'connected';
    is $all[0]{json}{taskId}, $done{work};
    cmp_ok abs($all[0]{json}{timestamp} - time * 1000), '<', 60_000;
    is_deeply $all[-1]{json}, {type => 'stream.end', reason => 'finished', retry_ms => $all[-1]{json}{retry_ms}};

    my @frames = told("$work?dialect=flat");
    is types(@frames[0, 1, -1]), 'status_update status_update completed';
    is_deeply $frames[0]{json}, {type => 'status_update', status => 'pending', progress => 0, message => 'pending'};
    is_deeply $frames[1]{json}, {type => 'status_update', status => 'running', progress => 0, message => 'running'};
    is_deeply one('progress_update', @frames), {type => 'progress_update', progress => 40, message => 'half'};
    is_deeply one('log.append',  @frames), {type => 'log.append',  level        => 'warn', message => 'careful'};
    is_deeply one('doc.created', @frames), {type => 'doc.created', payload_type => 'pdf',  page    => 1};
    is_deeply $frames[-1]{json},
        {type => 'completed', result => {rows => 3, status => 'fine'}, message => 'half'}, 'with the last message of the job';
};

subtest 'notify' => sub {
    my @frames = told("$work?dialect=notify");
    is types(@frames), 'task_update task_update task_update task_complete', 'states, and nothing else';
    my @data = map { $_->{json}{data} } @frames;
    is join(' ', map { $_->{json}{task_id} } @frames), join(' ', ($done{work}) x 4);
    is join(' ', map { $_->{status} } @data),   'pending processing processing completed';
    is join(' ', map { $_->{progress} } @data), '0 0 40 100';
    like $_->{updated_at}, $iso for @data;
    is join(' ', map { $_->{json}{id} } @frames), join(' ', map { $_->{id} } @frames), 'each with its id';
    is $_->{json}{timestamp}, $_->{json}{data}{updated_at}, '... and its time' for @frames;
    my @members = qw(elapsed_time error_message estimated_remaining_seconds progress status updated_at);
    is_deeply [sort keys %{ $data[$_] }], \@members for 0 .. 2;
    is_deeply [sort keys %{ $data[3] }], [sort @members, 'rows'], 'with the members of the result';
    is $data[3]{rows}, 3;
    is $data[0]{elapsed_time}, undef;
    like $_->{elapsed_time}, qr/^[0-9.]+$/ for @data[1 .. 3];
    like $data[2]{estimated_remaining_seconds}, qr/^[0-9.]+$/;
    is_deeply [$l->stream("$work?dialect=notify")->rest], \@frames, 'nor anything of the stream itself';
    my $s = $l->stream("$work?dialect=notify");
    like $s->next_frame->{raw}, qr/\Aretry: \d+\n\z/, 'which still says when to come back';
    is $s->next_frame->{json}{type}, 'task_update', '... and goes on with what happened';
    $s->close;
};

subtest 'repo' => sub {
    my @plain = told($work);
    my @frames = told("$work?dialect=repo");
    for (@plain) { $_->{json}{repo_id} = delete $_->{json}{group_id} }
    is_deeply [map { $_->{json} } @frames], [map { $_->{json} } @plain], 'the envelope, with repo_id';
    is $frames[0]{json}{repo_id}, 'g';

    my ($end) = grep { ($_->{json}{payload}{to} // '') eq 'failed' } told("/api/tasks/$done{bad}/events?dialect=repo");
    is $end->{json}{payload}{error}{code}, 'exit_status';
    is $end->{json}{payload}{error_msg}, $end->{json}{payload}{error}{message}, 'error_msg beside error';

    my $page  = $l->http(GET => '/api/groups/bad/events?dialect=repo&last_event_id=earliest', headers => $json);
    my @group = grep { $_->{type} eq 'repo.status_changed' } @{ $page->json->{events} };
    is join(' ', map { "$_->{payload}{from}-$_->{payload}{to}" } @group),
        'ready-analyzing analyzing-broken', 'a group changes its state where the word of the site changes';
    is $group[-1]{repo_id}, 'bad';
    is_deeply [grep { /\./ && /^group/ } map { $_->{type} } @{ $page->json->{events} }], [];
    my $s = $l->stream('/api/groups/bad/events?dialect=repo&last_event_id=now');
    is $s->next_event->{json}{payload}{snapshot}{status}, 'broken', 'also in a snapshot';

    my ($failed) = grep { ($_->{payload}{to} // '') eq 'broken' } @group;
    is_deeply $failed->{payload}{error}, {code => 'exit_status', message => 'no good', retryable => JSON::PP::true, exit_status => 3},
        'a group that failed says why';
    is $failed->{payload}{error_msg}, 'no good', '... in words';
    is $failed->{payload}{type}, 'bad', '... and of which type all that failed is';
    my $document = $l->http(GET => '/api/groups/bad?dialect=repo')->json;
    is_deeply [@$document{qw(error type error_msg)}], [@{ $failed->{payload} }{qw(error type error_msg)}], '... as its document does';

    $page = $l->http(GET => '/api/groups/g/events?dialect=repo&last_event_id=earliest&types=repo.*', headers => $json);
    is join(' ', map { "$_->{payload}{from}-$_->{payload}{to}" } @{ $page->json->{events} }), 'ready-analyzing analyzing-worked',
        'a word of its own for groups whose tasks are of one type';
    is $l->http(GET => '/api/groups/g?dialect=repo')->json->{status}, 'worked', '... in documents too';
};

subtest 'the word of a group stays until its status changes' => sub {
    $l->job(slow => "#!/bin/sh\nwhile [ ! -e $l->{dir}/go.\$LEAT_OWNER.\$LEAT_TYPE ]; do sleep 0.02; done\n", "kill_grace = 0\n");
    $l->job(fast => Leat::slurp($l->jobs . '/slow'));
    my $group = sub { return $l->http(GET => '/api/groups/words?dialect=repo')->json };
    my $go = sub { Leat::write_file("$l->{dir}/go.anonymous.$_[0]", '') };
    my $slow = create(type => 'slow', group => 'words');
    $l->reaches($slow, 'running');
    is $group->()->{status}, 'slowly', 'all that runs is of one type';
    my $fast = create(type => 'fast', group => 'words');
    $l->reaches($fast, 'running');
    is $group->()->{status}, 'slowly', 'another begins: the group is running as before';
    $go->('slow');
    $l->reaches($slow);
    is $group->()->{status}, 'slowly', 'and when only the other runs';
    $go->('fast');
    $l->reaches($fast);
    is_deeply [@{ $group->() }{qw(status type)}], ['completed', undef], 'finished are two types';
    my ($listed) = grep { $_->{id} eq 'words' } @{ $l->http(GET => '/api/groups?dialect=repo')->json->{groups} };
    is $listed->{status}, 'completed', '... in the list too';
    my $page = $l->http(GET => '/api/groups/words/events?dialect=repo&last_event_id=earliest&types=repo.*', headers => $json)->json;
    is join(' ', map { "$_->{payload}{from}-$_->{payload}{to}" } @{ $page->{events} }), 'ready-analyzing analyzing-slowly slowly-completed',
        'and in the events';
};

subtest 'the type of a group is that of all tasks in its status at the moment it changes' => sub {
    # tasks of one request are there at one moment, those of several one after the other
    my %made = (mixed => [['work', 'long']], alike => [['work', 'work']], apart => [['work'], ['long']]);
    my %says;
    for my $group (sort keys %made) {
        for my $types (@{ $made{$group} }) {
            my $lines = join '', map { qq({"type":"$_","group":"$group","delay":600}\n) } @$types;
            my $r = $l->http(POST => '/api/tasks', body => $lines, headers => {'Content-Type' => 'application/x-ndjson'});
            is $r->status, 202, "$group: @$types";
        }
        my $page = $l->http(GET => "/api/groups/$group/events?last_event_id=earliest&types=group.*", headers => $json)->json;
        $says{$group} = [map { ($_->{payload}{counts}{pending}, $_->{payload}{type}) } @{ $page->{events} }];
        is $l->http(GET => "/api/groups/$group")->json->{type}, $says{$group}[1], '... its document says the same';
    }
    is_deeply \%says, {mixed => [2, undef], alike => [2, 'work'], apart => [1, 'work']}, 'and so do the events';
};

subtest 'what has no word is failed' => sub {
    my %code = (bad => 'exit_status', stuck => 'timeout', long => 'cancelled');
    for my $type (sort keys %code) {
        my $error = task($done{$type})->{error};
        is $error->{code}, $code{$type}, $type;
        my $path = "/api/tasks/$done{$type}/events?dialect";
        is_deeply((told("$path=flat"))[-1]{json},
            {type => 'failed', error => $error->{message}, message => $error->{message}, code => $code{$type},
                retryable => $error->{retryable}}, 'flat');
        my $last = (told("$path=notify"))[-1]{json};
        is $last->{type}, 'task_failed', 'notify';
        is $last->{data}{status}, 'failed';
        is $last->{data}{error_message}, $error->{message};
        is $last->{data}{progress}, undef, 'which does not know where it came';
    }
    my $late = create(type => 'work', delay => 600);
    $l->http(POST => "/api/tasks/$late/cancel?dialect=notify");
    my $last = (told("/api/tasks/$late/events?dialect=notify"))[-1]{json};
    is "$last->{type} $last->{data}{progress}", 'task_failed 0', 'unless it never ran';
    is $l->http(GET => "/api/tasks/$late?dialect=notify")->json->{progress}, $last->{data}{progress}, '... as its document says';
    like task($done{bad})->{error}{message}, qr/no good/;
};

subtest 'ids are those of the log, in every dialect' => sub {
    my @ids   = map { $_->{id} } told($work);
    my @known = map { $_->{id} } grep { $_->{json}{type} =~ /^task\./ } told($work);
    is_deeply [map { $_->{id} } told("$work?dialect=$_")], \@ids, $_ for qw(flat repo);
    is_deeply [map { $_->{id} } told("$work?dialect=notify")], \@known, 'notify';
    is types(told("$work?dialect=flat&types=log.*,task.created")), 'status_update log.append', 'types are the log\'s own';
};

subtest 'lines and pages say the same' => sub {
    for my $dialect (qw(envelope flat notify repo)) {
        my @frames = told("$work?dialect=$dialect");
        my $lines = $l->http(GET => "$work?dialect=$dialect", headers => {Accept => 'application/x-ndjson'});
        is $lines->body, join('', map { "$_->{data}\n" } @frames), "$dialect: lines";
        my $page = $l->http(GET => "$work?dialect=$dialect", headers => $json)->json;
        is_deeply $page->{ $dialect eq 'notify' ? 'messages' : 'events' }, [map { $_->{json} } @frames], "$dialect: pages";
    }
    my $first = $l->http(GET => "$work?dialect=notify&limit=2", headers => $json)->json;
    is types(map { {json => $_} } @{ $first->{messages} }), 'task_update task_update', 'a limit counts what is shown';
    my $rest = $l->http(GET => "$work?dialect=notify&last_event_id=$first->{cursor}", headers => $json)->json;
    is types(map { {json => $_} } @{ $rest->{messages} }), 'task_update task_complete', 'and its cursor goes on';
};

subtest 'a stream is resumed where it was left' => sub {
    for my $dialect (qw(flat notify)) {
        my $t = by_hand($l);
        $t->run;
        my $s = $l->stream($t->events("dialect=$dialect"));
        my @seen = grep { $_->{json}{type} =~ /update$/ } map { $s->next_event } $dialect eq 'flat' ? 1 .. 3 : 1 .. 2;
        is @seen, 2, "$dialect: created and running";
        $s->close;
        $t->say('doc.created', {});
        $t->progress(50, 'half');
        $s = $l->stream($t->events("dialect=$dialect"), headers => {'Last-Event-ID' => $seen[-1]{id}});
        $s->next_frame;    # retry
        my $again = $s->next_frame;
        is $again->{id}, $seen[-1]{id}, 'where it was';
        is defined $again->{data} || 0, $dialect eq 'flat' || 0, '... with no more than its position where there is no word for it';
        my @next = map { $s->next_event } $dialect eq 'flat' ? (1, 2) : 1;
        is types(@next), $dialect eq 'flat' ? 'doc.created progress_update' : 'task_update';
        $t->progress(60, 'more');
        is $s->next_event->{json}{ $dialect eq 'flat' ? 'message' : 'task_id' },
            $dialect eq 'flat' ? 'more' : $t->id, 'live';
        $t->finish('failed');
        is $s->next_event->{json}{type}, $dialect eq 'flat' ? 'failed' : 'task_failed';
        my @end = $s->rest;
        is types(@end), $dialect eq 'flat' ? 'stream.end' : '', 'and its end';
        ok $s->eof && !$s->broken, '... a whole one';
    }
};

subtest 'what is left out moves the reader on' => sub {
    my $t = by_hand($l);
    $t->run;
    my $s    = $l->stream($t->events('dialect=notify'));
    my @seen = map { $s->next_event } 1 .. 2;
    $t->say('doc.created', {}, 5);
    my ($end, @frames);
    push @frames, $_ while $_ = $s->next_frame;
    ($end) = grep { defined $_->{id} } @frames;
    is_deeply [grep { defined $_->{data} } @frames], [], 'nothing is said';
    like $end->{raw}, qr/\Aid: \S+\n\z/, 'at its end there is a position alone';
    is $frames[-1]{raw}, $end->{raw}, '... and it is the last';
    my ($from, $to) = map { ($_->{id} =~ /-(\d+)$/)[0] } $seen[-1], $end;
    is $to - $from, 5, 'but the position is behind it';

    $t->say('doc.created', {}, 1);
    my $begin = time;
    my $r = $l->http(GET => $t->events("dialect=notify&last_event_id=$end->{id}"),
        headers => {%$json, Prefer => 'wait=1'});
    is_deeply $r->json->{messages}, [], 'nothing to a long poll';
    cmp_ok time - $begin, '>', 0.9, 'which waits on';
    is(($r->json->{cursor} =~ /-(\d+)$/)[0] - $to, 1);

    $t->finish;
    my @all = told($t->events('dialect=notify'));
    $t->say('doc.created', {}, 1);
    my $last = {'Last-Event-ID' => $all[-1]{id}, Accept => 'text/event-stream'};
    is $l->http(GET => $t->events('dialect=notify'), headers => $last)->status, 204, 'all that it shows was seen';
    is $l->http(GET => $t->events('dialect=flat'),   headers => $last)->status, 200, 'another dialect has more';
};

subtest 'a snapshot is in the dialect' => sub {
    my $t = by_hand($l, group => 'snap');
    $t->run;
    $t->progress(30, 'a third');
    my $connected = sub { $l->stream($_[0] . '&last_event_id=now')->next_event->{json} };
    my $flat = $connected->($t->events('dialect=flat'));
    is_deeply $flat->{snapshot},
        {success => JSON::PP::true, taskId => $t->id, status => 'running', progress => 30, result => undef, error => undef,
            code => undef, retryable => undef},
        'flat';
    my $notify = $l->stream($t->events('dialect=notify&last_event_id=now'));
    $notify->next_frame;
    my $now = $notify->next_frame;
    is $now->{raw}, "id: $now->{id}\n", 'notify has none, but says where it begins';
    $notify->close;
    is $connected->($t->events('dialect=repo'))->{payload}{snapshot}{repo_id}, 'snap', 'repo';
    my ($mine) = grep { $_->{taskId} eq $t->id } @{ $connected->('/api/events?dialect=flat')->{snapshot}{tasks} };
    is $mine->{progress}, 30, 'all of the unfinished';
    $t->finish;
};

subtest 'answers about a task' => sub {
    my $path = "/api/tasks/$done{work}?dialect";
    my $flat = {
        success => JSON::PP::true, taskId => $done{work}, status => 'completed', progress => 100,
        result  => {rows => 3, status => 'fine'}, error => undef, code => undef, retryable => undef,
    };
    my $r = $l->http(GET => "$path=flat");
    is_deeply $r->json, $flat, 'flat';
    is $r->header('ETag'), $l->http(GET => "/api/tasks/$done{work}")->header('ETag');
    is $l->http(GET => "$path=flat", headers => {'If-None-Match' => $r->header('ETag')})->status, 304;
    my $notify = $l->http(GET => "$path=notify")->json;
    my $last   = (told("$work?dialect=notify"))[-1]{json}{data};
    is_deeply { map { $_ => $notify->{$_} } keys %$last }, $last, 'notify: as in its last event';
    is_deeply [@$notify{qw(id task_id type)}], [$done{work}, $done{work}, 'work'], '... and what it is';
    like $notify->{$_}, $iso, $_ for qw(created_at started_at completed_at);
    is keys %$notify, 6 + keys %$last;
    my $plain = task($done{work});
    $plain->{repo_id}   = delete $plain->{group_id};
    $plain->{error_msg} = undef;
    is_deeply $l->http(GET => "$path=repo")->json, $plain, 'repo';
    is_deeply $l->http(GET => "$path=envelope")->json, task($done{work}), 'envelope';
    is_deeply $l->http(GET => "$path=")->json, task($done{work}), 'none';
    my $failed = $l->http(GET => "/api/tasks/$done{bad}?dialect=repo")->json;
    is $failed->{error_msg}, $failed->{error}{message};
    my $stuck = $l->http(GET => "/api/tasks/$done{stuck}?dialect=flat")->json;
    is_deeply [@$stuck{qw(success status code)}], [JSON::PP::false, 'failed', 'timeout'];
};

subtest 'lists' => sub {
    for my $dialect (qw(envelope flat notify repo)) {
        my @pages = ({next_page_token => ''});
        for (1 .. 2) {
            my $token = $pages[-1]{next_page_token};
            push @pages, $l->http(GET => "/api/tasks?page_size=2&page_token=$token&dialect=$dialect")->json;
        }
        my %one = map { my $id = $_->{taskId} // $_->{id}; $id => $_ } map { @{ $_->{tasks} // [] } } @pages;
        is keys %one, 4, "$dialect: two pages of two";
        is_deeply $one{$_}, $l->http(GET => "/api/tasks/$_?dialect=$dialect")->json, '... of documents'
            for grep { exists $one{$_} } @done{qw(work bad)};
    }
    my $ids = sub { return join ' ', map { $_->{id} } @{ $l->http(GET => "/api/tasks?dialect=notify$_[0]")->json->{tasks} } };
    my @all = split / /, $ids->('');
    is $ids->('&skip=1&limit=2'), "@all[1, 2]", 'notify: skip and limit';
    is $ids->('&limit=3'), "@all[0 .. 2]", '... limit alone';
    is $ids->('&skip=2'), "@all[2 .. $#all]", '... skip alone';
    is $ids->('&skip=10000'), '', '... behind the last';
    my $page = $l->http(GET => '/api/tasks?dialect=notify&skip=1&limit=1')->json;
    is $ids->("&limit=1&page_token=$page->{next_page_token}"), $all[2], '... and page tokens go on from there';
    for (qw(skip=10001 skip=-1 skip=x limit=0 limit=201 limit=x)) {
        my $r = $l->http(GET => "/api/tasks?dialect=notify&$_");
        is $r->status, 422, "$_ is refused";
        my ($name) = /(\w+)/;
        like $r->json->{detail}, qr/\A$name:/, '... by its name';
    }
    is $l->http(GET => '/api/tasks?skip=x&limit=0')->status, 200, 'other dialects know neither';
    my $groups = $l->http(GET => '/api/groups?dialect=repo')->json->{groups};
    my ($bad) = grep { $_->{id} eq 'bad' } @$groups;
    my $one = $l->http(GET => '/api/groups/bad?dialect=repo')->json;
    is $one->{status}, 'broken', 'a group in the words of the site';
    ok exists $one->{error_msg}, '... with error_msg';
    ok exists $one->{context} && !exists $bad->{context}, 'a list has no contexts';
    delete $one->{context};
    is_deeply $bad, $one, '... and all else';
    my $stats = $l->http(GET => '/api/stats?dialect=notify')->json;
    is $stats->{total_tasks}, $stats->{tasks}{total}, 'statistics';
    is $stats->{active_connections}, $stats->{streams}{active};
    cmp_ok $stats->{memory_usage_mb}, '>', 0;
};

subtest 'types may be asked for in the words of the dialect' => sub {
    my $types = sub {
        my ($query) = @_;
        my $page = $l->http(GET => "/api/groups/bad/events?last_event_id=earliest&$query", headers => $json)->json;
        return join ' ', map { $_->{type} } @{ $page->{events} };
    };
    is $types->('dialect=repo&types=repo.*'),  'repo.status_changed repo.status_changed', 'repo.*';
    is $types->('dialect=repo&types=group.*'), 'repo.status_changed repo.status_changed', 'group.*';
    is $types->('types=repo.*'), '', 'not elsewhere';
    $l->http(POST => '/api/groups/bad/events', json => {type => 'repo.cloned'});
    is $types->('dialect=repo&types=repo.cloned'), 'repo.cloned', 'an application has its own';
};

subtest 'a reset asks for a synchronisation' => sub {
    my $s = $l->stream('/api/events?dialect=notify', headers => {'Last-Event-ID' => 'ffffffff-1'});
    $s->next_frame;    # retry
    my $frame = $s->next_frame;
    is_deeply [@{ $frame->{json} }{qw(id type reason)}], [$frame->{id}, 'sync_required', 'epoch'];
    like $frame->{json}{timestamp}, $iso;
    $s->close;
};

subtest 'answers to a create' => sub {
    my $create = sub {
        my ($dialect, %headers) = @_;
        return $l->http(POST => "/api/tasks?dialect=$dialect", json => {type => 'work', group => 'c'}, headers => \%headers);
    };
    my $r = $create->('flat');
    is $r->status, 202;
    is_deeply [sort keys %{ $r->json }], [qw(code error progress result retryable status success taskId)], 'flat';
    is $r->json->{status}, 'pending';
    is $r->header('Location'), '/api/tasks/' . $r->json->{taskId};
    $r = $create->('notify');
    is $r->json->{type}, 'work', 'notify';
    is $r->json->{status}, 'pending';
    $r = $create->('repo');
    is $r->json->{task}{repo_id}, 'c', 'repo';
    is $r->json->{task_id}, $r->json->{task}{id};
    my %around = %{ $r->json };
    delete @around{qw(success task task_id)};
    is_deeply \%around, $r->json->{task}, '... which is the task itself, with what the envelope has around it';
    my $again = $l->http(POST => "/api/tasks/$done{bad}/retry?dialect=repo")->json;
    is_deeply [@$again{qw(id repo_id status error_msg)}], [$done{bad}, 'bad', 'pending', undef], 'a retry answers with the task';
    is $l->http(POST => "/api/tasks/$done{stuck}/retry?dialect=notify")->json->{status}, 'pending', '... in each';
    finished($_) for @done{qw(bad stuck)};

    $r = $create->('flat', Prefer => 'wait=10');
    is $r->status, 200, 'waited for';
    is_deeply $r->json->{result}, {rows => 3, status => 'fine'}, 'flat';
    is $r->json->{status}, 'completed';
    $r = $create->('notify', Prefer => 'wait=10');
    is $r->json->{rows}, 3, 'notify';
    $r = $create->('repo', Prefer => 'wait=10');
    is_deeply [@{ $r->json }{qw(status repo_id error_msg success)}], ['completed', 'c', undef, JSON::PP::true], 'repo';

    $r = $l->http(POST => '/api/tasks?dialect=flat&types=task.*', json => {type => 'work'},
        headers => {Accept => 'text/event-stream'});
    is $r->status, 200;
    like $r->header('Content-Location'), qr{^/api/tasks/[^/?]+/events$}, 'its events';
    my @told = grep { !/^(?:progress_update|stream\.end)$/ } map { Leat::decode($_)->{type} } $r->body =~ /^data: (.*)$/mg;
    is "@told", 'connected status_update status_update completed';

    my $id   = create(type => 'long');
    my $etag = $l->http(GET => "/api/tasks/$id")->header('ETag');
    wait_until { task($id)->{status} eq 'running' };
    $r = $l->http(POST => "/api/tasks/$id/cancel?dialect=flat");
    is_deeply [@{ $r->json }{qw(taskId status)}], [$id, 'running'], 'a cancel answers with the task too';
    finished($id);
    $r = $l->http(GET => "/api/tasks/$id?dialect=flat", headers => {'If-None-Match' => $etag, Prefer => 'wait=5'});
    is $r->json->{status}, 'failed', 'and so does who waits for a change';
};

subtest 'an unknown dialect is refused before anything is done' => sub {
    my $count = sub { (sql($l, 'SELECT count(*) FROM tasks'))[0][0] };
    my $before = $count->();
    my $body   = {type => 'work'};
    my $id     = create(type => 'long');
    my @cases  = (
        [POST => '/api/tasks?dialect=klingon', json => $body],
        [POST => '/api/tasks?dialect=klingon', json => $body, headers => {Prefer => 'wait=1'}],
        [POST => '/api/tasks?dialect=klingon', json => $body, headers => {Accept => 'text/event-stream'}],
        [GET  => "/api/tasks/$id?dialect=klingon"],
        [POST => "/api/tasks/$id/cancel?dialect=klingon"],
        [GET  => "$work?dialect=klingon"],
        [GET  => "$work?dialect=klingon", headers => $json],
        [GET  => '/api/events?dialect=klingon'],
        [GET  => '/api/tasks?dialect=klingon'],
        [GET  => '/api/groups?dialect=klingon'],
        [GET  => '/api/groups/g?dialect=klingon'],
        [GET  => '/api/stats?dialect=klingon'],
    );
    for (@cases) {
        my ($method, $path, @opt) = @$_;
        my $r = $l->http($method => $path, @opt);
        is $r->status, 422, "$method $path";
        like $r->json->{detail}, qr/^dialect: 'klingon' is not one of envelope, flat, notify, repo$/;
    }
    is $l->http(POST => '/api/tasks?types=x%20y', json => $body)->status, 422, 'nor types that are none';
    is $count->() - $before, 1, 'no task was made';
    isnt task($id)->{cancel_requested}, JSON::PP::true, 'none was cancelled';
    $l->http(POST => "/api/tasks/$id/cancel");
};

subtest 'a bad map is an error at the start' => sub {
    my $file = $l->state . '/bad.conf';
    Leat::write_file($file, "[dialect]\nrepo_status = idle=ready, running/work=working, done=x\n");
    for my $program ('leatd --check', 'leat.fcgi') {
        my ($name, @check) = split ' ', $program;
        open my $out, '-|', "$build/$name --config $file @check 2>&1 </dev/null" or die;
        my $said = do { local $/; <$out> };
        close $out;
        is $? >> 8, 78, $program;
        like $said, qr/\Q$file\E:2: \[dialect\] repo_status: 'done' is not one of idle, pending,/;
    }
};

$l->stop;
done_testing;
