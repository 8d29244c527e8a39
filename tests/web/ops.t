# What those who look after a site see: metrics, stats, the log.
use strict;
use warnings;
use Leat;
use Test::More;
use Wire;

my $l = Leat->start(conf => "[log]\nlevel = debug\n[stream]\nstream_seconds = 30\n");
$l->job(quick => "#!/bin/sh\nexec cat\n");
$l->job(slow => "#!/bin/sh\nwhile [ ! -e \"\$(cat)\" ]; do sleep 0.02; done\n");
$l->job(gated => "#!/bin/sh\nread -r gate\nwhile [ ! -e \"\$gate\" ]; do sleep 0.02; done\necho '{\"log\":\"open\"}' >&3\n");

my ($label, $value) = (qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"/, qr/-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)/);

# The samples of a text exposition by name{labels}; every line that is none, or out of place, is a fault.
sub parse {
    my ($text) = @_;
    my (%sample, %type, %help, $now, @faults);
    push @faults, 'the last line has no end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$/) {
            push @faults, "a second HELP: $line" if $help{$1}++;
        } elsif ($line =~ /^# TYPE (\S+) (counter|gauge|histogram)$/) {
            push @faults, "no HELP before, or a second TYPE: $line" if !$help{$1} || $type{$1};
            $type{ $now = $1 } = $2;
        } elsif ($line =~ /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{$label(?:,$label)*\})? ($value)$/) {
            my ($name, $labels, $number) = ($1, $2 // '', $3);
            my $family = $type{ $now // '' } && $type{$now} eq 'histogram' ? $name =~ s/_(?:bucket|sum|count)$//r : $name;
            push @faults, "not below its TYPE: $line" if !defined $now || $family ne $now;
            push @faults, "a counter is a _total: $line" if $type{$now} eq 'counter' && $name !~ /_total$/;
            push @faults, "twice: $line" if exists $sample{"$name$labels"};
            $sample{"$name$labels"} = $number;
        } else {
            push @faults, "not understood: $line";
        }
    }
    for my $bucket (grep { /_bucket\{.*le="\+Inf"/ } keys %sample) {    # cumulative, and as many as counted
        (my $stem = $bucket) =~ s/,?le="\+Inf"//;
        (my $count = $stem) =~ s/_bucket/_count/;
        $count =~ s/\{\}//;
        push @faults, "$count is not $bucket" if ($sample{$count} // -1) != $sample{$bucket};
        my ($name, $labels) = $stem =~ /^(\w+)(?:\{(.*)\})?$/;
        my $last = 0;
        for my $one (sort { bound($a) <=> bound($b) } grep { /^\Q$name\E\{\Q$labels\E,?le="/ } keys %sample) {
            push @faults, "$one falls" if $sample{$one} < $last;
            $last = $sample{$one};
        }
    }
    return (\%sample, \%type, @faults);
}

sub bound { my ($le) = $_[0] =~ /le="([^"]+)"/; return $le eq '+Inf' ? 9**99 : $le }

sub metrics { return (parse($l->http(GET => '/api/metrics')->body))[0] }

# Waits until the sample is at least (or exactly) that.
sub sample_is {
    my ($name, $expected, $says) = @_;
    my $is;
    my $right = wait_until { $is = metrics()->{$name} // 0; $is == $expected } 6;
    ok $right, $says or diag "$name is $is, not $expected";
}

my $created = 0; # tasks, by POST

sub create {
    my ($fields, @headers) = @_;
    $created++;
    my $r = $l->http(POST => '/api/tasks', json => $fields, headers => \@headers);
    die "refused: $r->{status} $r->{body}" unless $r->json && $r->json->{task_id};
    return $r;
}

# A quick one that this process cannot take, for it is stopped meanwhile: another one does.
sub create_past {
    my ($pid) = @_;
    my $body = '{"type":"quick","input":"x"}';
    kill STOP => $pid;
    my $r = Wire::fastcgi($l->state . '/leat.sock', [
        REQUEST_METHOD => 'POST', REQUEST_URI => '/api/tasks', SERVER_PROTOCOL => 'HTTP/1.1', HTTP_HOST => 'localhost',
        REMOTE_ADDR => '127.0.0.1', CONTENT_TYPE => 'application/json', CONTENT_LENGTH => length $body,
    ], $body);
    kill CONT => $pid;
    die "refused: $r->{status} " . ($r->error // $r->body) unless $r->status == 202;
    $created++;
}

sub ends { return $l->http(GET => "/api/tasks/$_[0]", headers => {Prefer => 'wait=5'})->json }

subtest 'metrics are text that Prometheus understands' => sub {
    ends(create({type => 'quick', input => 'x'})->json->{task_id});
    my $r = $l->http(GET => '/api/metrics');
    is $r->status, 200, 'status';
    is $r->header('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8', 'media type';
    my ($sample, $type, @faults) = parse($r->body);
    is_deeply \@faults, [], 'every line is what it has to be';
    is $type->{$_}, 'counter', "$_ is a counter"
        for qw(leat_requests_total leat_streams_opened_total leat_stream_resumes_total leat_stream_resets_total
        leat_stream_ends_total);
    is $type->{$_}, 'histogram', "$_ is a histogram"
        for qw(leat_claim_wait_seconds leat_run_seconds leat_delivery_seconds leat_write_lock_wait_seconds);
    is $type->{$_}, 'gauge', "$_ is a gauge"
        for qw(leat_tasks leat_queue_age_seconds leat_streams_open leat_runners_alive leat_log_events
        leat_log_newest_seq leat_wal_pages leat_wal_bytes leat_database_bytes leat_processes leat_resident_bytes);
    my $there = wait_until {
        my $s = metrics();
        join(' ', map { $s->{"leat_processes{program=\"$_\"}"} // 0 } qw(leat.fcgi leatd)) eq '2 1';
    } 6;
    ok $there, 'all the processes are there';
    $sample = metrics();
    cmp_ok $sample->{"leat_resident_bytes{program=\"$_\"}"}, '>', 500_000, "$_ has memory"
        for qw(leat.fcgi leatd);
    is $sample->{leat_runners_alive}, 1, 'the runner is alive';
    is $sample->{'leat_tasks{type="quick",status="completed"}'}, 1, 'the task is counted';
    is $sample->{leat_log_events}, 3, 'its events are, too';
};

subtest 'figures of all the processes add up to what was done' => sub {
    my $posts = 'leat_requests_total{route="/tasks",method="POST",status="2xx"}';
    my $bad   = 'leat_requests_total{route="/tasks",method="POST",status="4xx"}';
    my $before = metrics()->{$posts} // 0;
    ends($_) for map { create({type => 'quick', input => $_})->json->{task_id} } 1 .. 20;
    $l->http(POST => '/api/tasks', json => {type => 'nobody'}) for 1 .. 3;
    create_past($_) for $l->pids('web');
    my $several = wait_until {
        my %by = map { $_ => 1 } $l->log =~ /pid=(\d+) msg="task_status_change".*from=none/g;
        keys %by > 1
    } 20;
    ok $several, 'several leat.fcgi worked';
    sample_is($posts, $created, 'requests');
    sample_is($bad, 3, 'refused ones');
    sample_is('leat_claim_wait_seconds_count{type="quick"}', $created, 'claims');
    sample_is('leat_run_seconds_count{type="quick"}', $created, 'runs');
    sample_is('leat_tasks{type="quick",status="completed"}', $created, 'tasks');
    is metrics()->{leat_queue_age_seconds}, 0, 'nothing waits';
};

my ($open, $gone) = ('leat_streams_open', 'leat_stream_ends_total{reason="gone"}');

subtest 'streams are counted while they are open, and how they end' => sub {
    my $delivered = metrics()->{leat_delivery_seconds_count};
    my $gate = "$l->{dir}/gate";
    my $id = create({type => 'gated', input => "$gate\n", group => 'g'}, 'X-Request-ID' => 'ops-create')->json->{task_id};
    my %agent = ('User-Agent' => 'agent "7"');
    my $task  = $l->stream("/api/tasks/$id/events", headers => {%agent, 'X-Request-ID' => 'ops-stream'});
    my $group = $l->stream('/api/groups/g/events', headers => {'X-Request-ID' => 'ops-group'});
    $l->http(GET => "/api/tasks/$id", headers => {Prefer => 'wait=1'})
        until $l->http(GET => "/api/tasks/$id")->json->{status} eq 'running';
    sample_is($open, 2, 'two are open');
    sample_is('leat_streams_opened_total{scope="task"}', 1, 'one of a task');
    sample_is('leat_streams_opened_total{scope="group"}', 1, 'one of a group');
    Leat::write_file($gate, '');
    my @seen = $task->rest(10);
    is $seen[-1]{json}{type}, 'stream.end', 'the task ended';
    sample_is($open, 1, 'one is open');
    sample_is('leat_stream_ends_total{reason="finished"}', 1, 'one is finished');
    $group->close;
    sample_is($open, 0, 'none is');
    sample_is($gone, 1, 'whose client left');
    cmp_ok metrics()->{leat_delivery_seconds_count}, '>=', $delivered + 4, 'what was delivered live is timed';

    my $cursor = (grep { $_->{id} } @seen)[0]{id};
    $_->close
        for $l->stream('/api/groups/g/events', headers => {'Last-Event-ID' => $cursor}),
        $l->stream('/api/groups/g/events', headers => {'Last-Event-ID' => 'nonsense-1'});
    sample_is('leat_stream_resumes_total', 1, 'one was resumed');
    sample_is('leat_stream_resets_total{reason="epoch"}', 1, 'one had a cursor of another life');
};

subtest 'the gauges of a process that was killed go, its sums stay' => sub {
    my @streams = map { $l->stream('/api/groups/g/events') } 1 .. 3;
    sample_is($open, 3, 'three are open');
    my $opened = metrics()->{'leat_streams_opened_total{scope="group"}'};
    sample_is('leat_requests_total{route="/tasks",method="POST",status="2xx"}', $created, 'what was counted so far is told');
    kill KILL => $l->pids('web');
    sample_is($open, 0, 'none is');
    is metrics()->{'leat_streams_opened_total{scope="group"}'}, $opened, 'opened they were';
    my $another = wait_until { (metrics()->{'leat_processes{program="leat.fcgi"}'} // 0) == 2 } 6;
    ok $another, 'others came';
};

subtest 'stats are the same for people' => sub {
    my $r = $l->http(GET => '/api/stats');
    is $r->status, 200, 'status';
    my $s = $r->json;
    is $s->{tasks}{by_type}{quick}{completed}, $created - 1, 'tasks by type';
    is $s->{tasks}{total}, $created, 'in all';
    is $s->{tasks}{by_status}{completed}, $created, 'by status';
    is_deeply $s->{queue}, {pending => 0, running => 0, oldest_due_seconds => 0}, 'the queue';
    is $s->{streams}{active}, 0, 'streams';
    cmp_ok $s->{lag}{delivery}{p99_ms}, '>=', $s->{lag}{delivery}{p50_ms}, 'lag';
    is $s->{runners}, 1, 'runners';
    is_deeply [sort map { $_->{program} } @{ $s->{processes} }], [('leat.fcgi') x 2, 'leatd'], 'processes';
    is_deeply [grep { !($_->{resident_bytes} > 0 && $_->{pid} > 1 && $_->{uptime_seconds} >= 0) } @{ $s->{processes} }], [],
        'with their memory';
    cmp_ok $s->{uptime_seconds}, '>', 0, 'uptime';
    cmp_ok $s->{database}{$_}, '>', 0, $_ for qw(bytes wal_bytes events newest_seq);
    like $s->{sqlite_version}, qr/^3\.\d+\.\d+$/, 'the version of SQLite';
};

subtest 'a request is found in the log by its id, from its answer to the end of its task' => sub {
    my $log = $l->log;
    for my $line ('program=leat.fcgi .*msg="task_status_change" task_id=\S+ request_id=ops-create type=gated from=none to=pending elapsed_ms=0',
        'program=leatd .*msg="task_status_change" .*request_id=ops-create .*from=pending to=running elapsed_ms=\d+',
        'program=leatd .*msg="task_status_change" .*request_id=ops-create .*from=running to=completed elapsed_ms=\d+',
        'program=leat.fcgi .*msg="request" request_id=ops-create method=POST route=/tasks status=202 ip=127.0.0.1 elapsed_ms=\d+',
        'program=leat.fcgi .*msg="stream_open" request_id=ops-stream scope=task task_id=\S+ owner="anonymous" ip=127.0.0.1 user_agent="agent \'7\'" from=\S+-\d+ start=earliest',
        'program=leat.fcgi .*msg="stream_close" request_id=ops-stream scope=task .*user_agent="agent \'7\'" cursor=\S+ reason=finished events=4 elapsed_ms=\d+',
        'program=leat.fcgi .*msg="stream_open" request_id=ops-group scope=group group="g" .*start=now',
        'program=leat.fcgi .*msg="stream_close" request_id=ops-group scope=group .*reason=gone events=\d+')
    {
        ok $log =~ /^ts=\S+ level=\w+ $line/m, $line;
    }

    my $r  = create({type => 'slow', input => 'never', delay => 600});
    my $id = $r->header('X-Request-ID');
    ok $l->log =~ qr/msg="task_status_change" .*request_id=\Q$id\E .*to=pending/, 'one that the server named, too';
    $l->http(POST => "/api/tasks/$r->{json}{task_id}/cancel");
    ok $l->log =~ qr/program=leat.fcgi .*request_id=\Q$id\E .*from=pending to=cancelled/, 'cancelled by leat.fcgi';
    $l->http(POST => "/api/tasks/$r->{json}{task_id}/retry");
    ok $l->log =~ qr/request_id=\Q$id\E .*from=cancelled to=pending/, 'made to wait again';
    $l->http(POST => "/api/tasks/$r->{json}{task_id}/cancel");    # a running job would keep the runner
};

subtest 'figures are for administrators, and the log keeps no secret' => sub {
    my ($token, $admin) = map { $l->leat(qw(token add --owner), @$_)->{out} =~ /(\S+)/ }
        ['bob', '--scope', 'create,read'], ['eve', '--scope', 'admin'];
    for my $path (qw(/api/metrics /api/stats)) {
        my $r = $l->http(GET => $path, headers => {Authorization => "Bearer $token"});
        is $r->status, 403, "$path needs more than create and read";
        is $r->json->{code}, 'insufficient_scope', 'and says what';
        is $l->http(GET => $path, headers => {Authorization => "Bearer $admin"})->status, 200, 'admin is enough';
        is $l->http(GET => $path, headers => {Authorization => 'Bearer nobody'})->status, 401, 'who is nobody gets nothing';
    }
    my $ticket = $l->http(POST => '/api/tickets', json => {group => 'g', ttl => 60}, headers => {Authorization => "Bearer $token"})
        ->json->{ticket};
    $l->stream("/api/groups/g/events?ticket=$ticket&types=query.word")->close;
    create({type => 'quick', input => 'body-word'}, Authorization => "Bearer $token");
    my $closed = wait_until { $l->log =~ /stream_close.*owner="bob".*reason=gone/ } 5;
    ok $closed, '(logged)';
    my $log = $l->log;
    ok index($log, $_) < 0, 'not a word of it' for $token, $admin, $ticket, 'query.word', 'body-word', '?';
};

subtest 'counters survive a restart' => sub {
    my $before = $l->http(GET => '/api/metrics') && metrics();
    my $name = 'leat_requests_total{route="/tasks",method="POST",status="2xx"}';
    is $l->down, 0, 'a clean stop';
    $l->up;
    my $after = metrics();
    cmp_ok $after->{$_}, '>=', $before->{$_}, $_
        for $name, 'leat_run_seconds_count{type="quick"}', 'leat_delivery_seconds_count', $gone;
    is $after->{$name}, $created, 'what was told last is not lost';
};

$l->stop;
done_testing;
