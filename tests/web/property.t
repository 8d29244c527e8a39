#!/usr/bin/perl
# Whatever many clients do at once, in whatever order: nobody misses an event, sees one twice or sees
# another's, and the log, the tasks and the groups tell one story.
#
# Several processes create, cancel, retry, publish and delete at random; others watch, are cut off in
# mid-stream, and come back. A table beside the log, filled by a trigger, keeps every event that ever was and
# when it was written, so that what a watcher saw can be judged event by event, also where the log has
# forgotten: an event may be missing only if its task was deleted before the watcher came past it, or if
# stream.reset {evicted} said so, and that exactly when the cursor lay below what had been deleted.
#
# SEED repeats the same decisions (not the same timing); PROPERTY_SECONDS says how long.
use strict;
use warnings;
use ByHand qw(sql);
use JSON::PP ();
use Leat;
use List::Util qw(max);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Wire;

my $seconds = $ENV{PROPERTY_SECONDS} || 60;
my $seed    = $ENV{SEED} // int rand 2**31;
my $quiet   = 120;                               # for what is left to do, and to be seen, after that
note "SEED=$seed PROPERTY_SECONDS=$seconds";

my @groups   = map { "g$_" } 0 .. 3;              # every owner has groups of these names
my $serial   = 'chat';                            # of the type that is serialized, mostly
my $writers  = 4;
my $terminal = qr/^(?:completed|failed|timeout|cancelled)$/;
my $json     = JSON::PP->new->utf8->allow_nonref->canonical;

my $l = Leat->start(conf => <<'CONF');
[database]
busy_ms = 30000
[auth]
anonymous =
[stream]
stream_seconds = 4
heartbeat = 1
[limits]
streams_per_owner = 0
[runner]
workers = 6
CONF

$l->job(quick => "#!/bin/sh\nread -r x; echo \"\$x\"\n");
$l->job(fail  => "#!/bin/sh\necho no >&2; exit 1\n", "attempts = 2\nbackoff = 0.1\n");
$l->job(boom  => "#!/bin/sh\necho '{\"type\":\"boom.soon\"}' >&3; kill -9 \$\$\n");
$l->job(late  => "#!/bin/sh\nexec sleep 5\n", "timeout = 0.3\nkill_grace = 0.2\n");
$l->job(slow  => <<'EOT', "attempts = 2\nbackoff = 0.1\n");
#!/bin/sh
read -r n
i=0
while [ $i -lt "$n" ]; do
    i=$((i + 1))
    echo "{\"type\":\"doc.created\",\"payload\":{\"n\":$i}}" >&3
    echo "$i of it" >&3
    [ $((i % 4)) -ne 0 ] || sleep 0.1
done
[ $((n % 5)) -ne 0 ] || exit 75
EOT
$l->job($serial => <<'EOT', "serialize = group\n");
#!/bin/sh
read -r n
echo "{\"context\":{\"turn\":$n}}" >&3
[ $((n % 7)) -ne 0 ] || exit 1
EOT

my %token;
for my $owner (qw(alice bob), 'admin') {
    my $r = $l->leat('token', 'add', '--owner', $owner, $owner eq 'admin' ? ('--scope', 'read,admin') : ());
    $token{$owner} = $r->{out} =~ /\A(leat_\S+)\z/ ? $1 : die "token: $r->{out}$r->{err}";
}
my @owners = qw(alice bob);

# what ever was said, and when
sql($l, <<'EOT');
CREATE TABLE told (seq INTEGER PRIMARY KEY, task INTEGER, task_seq INTEGER, owner TEXT, group_id TEXT,
    task_id TEXT, request_id TEXT, type TEXT, ts INTEGER, payload TEXT, at REAL);
CREATE TRIGGER tell AFTER INSERT ON events BEGIN
    INSERT INTO told VALUES (new.seq, new.task, new.task_seq, new.owner, new.group_id, new.task_id,
        new.request_id, new.type, new.ts, new.payload, (julianday('now') - 2440587.5) * 86400.0);
END
EOT

my $dir = "$l->{dir}/said";
mkdir $dir or die "$dir: $!";
my $created = "$dir/created";    # a line for each task, for those who watch them
my $final   = "$dir/final";      # the position at which all is quiet; appears at the end
Leat::write_file($created, '');

sub seq_of { return defined $_[0] && $_[0] =~ /-(\d+)\z/ ? $1 : undef }
sub pick   { return $_[int rand @_] }

# ---- processes -----------------------------------------------------------------------------------

my %children;

# Runs CODE in a process with a number, dice and a file of its own. What it dies of fails the test.
sub spawn {
    my ($name, $code) = @_;
    my $number = 1 + keys %children;
    my $pid = fork // die "fork: $!";
    if ($pid) {
        $children{$pid} = $name;
        return;
    }
    srand $seed + $number;
    open my $out, '>', "$dir/$name" or POSIX::_exit(1);
    local $SIG{TERM} = sub { POSIX::_exit(1) };
    eval { $code->($out); 1 } or print {$out} "died\t", $@ =~ s/[\t\n]/ /gr, "\n";
    close $out;
    POSIX::_exit(0);
}

# Waits for the processes whose names match; false when time is up.
sub wait_for {
    my ($like, $within) = @_;
    return wait_until {
        for my $pid (grep { $children{$_} =~ $like } keys %children) {
            delete $children{$pid} if waitpid($pid, POSIX::WNOHANG()) == $pid;
        }
        !grep { $_ =~ $like } values %children;
    } $within;
}

END { kill KILL => keys %children if %children }

# ---- those who do things -------------------------------------------------------------------------

my @types = ((qw(quick) x 8), (qw(slow) x 6), (qw(fail) x 4), (qw(boom late) x 1), ($serial) x 5);

sub wish {
    my $type = pick(@types);
    my %wish = (type => $type, input => 1 + int rand 12);
    $wish{group}    = pick(@groups) if rand() < 0.8 || $type eq $serial;
    $wish{delay}    = int(rand 1500) / 1000 if rand() < 0.15 && $type ne $serial;    # who is delayed is overtaken
    $wish{priority} = int(rand 5) - 2 if rand() < 0.2;
    return \%wish;
}

# Says for each request: method, what, status, and for some more than that.
sub act {
    my ($out, $number, $end) = @_;
    my $w = Wire->http($l->port);
    open my $list, '>>', $created or die "$created: $!";
    $list->autoflush(1);
    my (%tasks, $crowd, $asked);
    my $ask = sub {
        my ($owner, $what, $method, $path, %opt) = @_;
        my $body = exists $opt{json} ? $json->encode($opt{json}) : $method eq 'POST' ? '' : undef;
        $asked = time;
        my $r = $w->ask($method => $path, body => $body, headers =>
            ['Content-Type' => 'application/json', Authorization => "Bearer $token{$owner}", @{ $opt{headers} || [] }]);
        print {$out} join("\t", 'did', $what, $r->status, $r->status ? () : $r->error), "\n";
        return $r;
    };
    while (time < $end) {
        my $owner = pick(@owners);
        my $mine  = $tasks{$owner} ||= [];
        my $dice  = rand 100;
        my $group = pick(@groups);
        if ($dice < 40) {
            next if $crowd && $crowd-- && rand() < 0.9;
            my ($wish, @headers) = wish();
            my $key;
            if (rand() < 0.1) {
                # the payload is the key's, so that the same key comes with the same one (mostly)
                $key = int rand 30;
                @headers = ('Idempotency-Key' => "k$key");
                $wish = {type => 'quick', input => "key $key", group => $groups[0]};
            }
            my $other = defined $key && rand() < 0.1;
            $wish->{input} = 'other' if $other;
            my $r = $ask->($owner, defined $key ? 'create-keyed' : 'create', POST => '/api/tasks', json => $wish, headers => \@headers);
            next unless $r->status == 202;
            my $task = $r->json->{task};
            $crowd = 10 if ($task->{queue_position} // 0) > 20;
            push @$mine, $task->{id};
            print {$list} "$owner $task->{id}\n";
            print {$out} join("\t", 'made', $owner, $task->{id}, $other ? 'other' : $key // ''), "\n";
        }
        elsif ($dice < 46) {
            my $type = pick('doc.published', 'message.delta', 'page.turned');
            $ask->($owner, 'publish', POST => "/api/groups/$group/events", json => {type => $type, payload => {by => $number}});
        }
        elsif ($dice < 47) { $ask->($owner, 'group-cancel', POST => "/api/groups/$group/cancel") }
        elsif ($dice < 48) { $ask->($owner, 'group-retry',  POST => "/api/groups/$group/retry") }
        elsif ($dice < 53) {
            my @match = rand() < 0.7 ? ('If-Match' => '"' . int(rand 40) . '"') : ();
            if (rand() < 0.5) {
                my $r = $ask->($owner, 'context', GET => "/api/groups/$group/context");
                @match = ('If-Match' => $r->header('etag')) if $r->header('etag');
            }
            my $r = $ask->($owner, 'put', PUT => "/api/groups/$group/context", json => {by => $number}, headers => \@match);
            next unless $r->status == 200;
            print {$out} join("\t", 'put', $owner, $group, $match[1] // '', $r->header('etag')), "\n";
        }
        elsif (@$mine) {
            my $id   = rand() < 0.5 ? $mine->[-1 - int rand(@$mine < 8 ? @$mine : 8)] : pick(@$mine);
            my $path = "/api/tasks/$id";
            if    ($dice < 64) { $ask->($owner, 'cancel', POST => "$path/cancel") }
            elsif ($dice < 77) { $ask->($owner, 'retry',  POST => "$path/retry") }
            elsif ($dice < 82) {
                my $r = $ask->($owner, 'delete', DELETE => $path);
                next unless $r->status == 204;
                print {$out} join("\t", 'deleted', $owner, $id, time), "\n";
                @$mine = grep { $_ ne $id } @$mine;
            }
            elsif ($dice < 86) {
                my ($other) = grep { $_ ne $owner } @owners;
                $ask->($other, 'foreign', @{ pick([GET => $path], [DELETE => $path], [POST => "$path/cancel"], [POST => "$path/retry"],
                    [GET => "$path/events"], [GET => "$path/result"], [GET => "$path/log"]) });
            }
            else {
                my $r = $ask->($owner, 'read', GET => $path);
                print {$out} join("\t", 'foreign-read', $id), "\n" if $r->status == 200 && $r->json->{owner} ne $owner;
            }
        }
        sleep rand 0.03;    # so that two cores are not all that is tested
    }
}

# ---- those who watch -----------------------------------------------------------------------------

# One connection to PATH after CURSOR. Says what came and when; gives the new cursor and how it ended: cut,
# end, none (204), gone (404), reset (410), closed.
sub visit {
    my ($out, $owner, $path, $cursor, $take) = @_;
    my @headers = (Authorization => "Bearer $token{$owner}");
    if (defined $cursor) {
        $path =~ s/\?last_event_id=earliest$//;
        my $mark = $path =~ /\?/ ? '&' : '?';
        if (rand() < 0.8) { push @headers, 'Last-Event-ID' => $cursor }
        else              { $path .= "${mark}last_event_id=$cursor" }
    }
    print {$out} join("\t", 'open', time, $cursor // ''), "\n";
    my $s = $l->stream($path, headers => \@headers, timeout => 60);
    print {$out} join("\t", 'head', time, $s->status), "\n";
    return ($cursor, $s->status == 204 ? 'none' : $s->status == 404 ? 'gone' : 'closed') if $s->status != 200;
    my ($id, $data, $how) = (undef, undef, 'closed');
    while (defined(my $line = $s->next_line(20))) {
        if    ($line =~ /^id: (.*)/)   { $id   = $1 }
        elsif ($line =~ /^data: (.*)/) { $data = $1 }
        next if $line ne '';
        if (defined $data) {
            my $own = $data =~ /^\{"type":"(stream\.\w+)"/ ? $1 : '';
            print {$out} join("\t", $own || 'event', time, $id // '', $data), "\n";
            $cursor = $id if defined $id;
            if ($own eq 'stream.end') {
                $how = $data =~ /"reason":"(\w+)"/ ? $1 : 'end';
                last;
            }
            $take-- unless $own;
        }
        ($id, $data) = ();
        next if $take > 0;
        $how = 'cut';
        last;
    }
    $s->close;
    print {$out} join("\t", 'shut', time, $how), "\n";
    return ($cursor, $how);
}

# The same by a page, or by lines that end at the newest event.
sub fetch {
    my ($out, $w, $owner, $path, $cursor) = @_;
    my $lines = rand() < 0.3;
    my $query = ($path =~ /\?/ ? '&' : '?') . 'limit=' . (1 + int rand 40);
    my @headers = (
        Authorization   => "Bearer $token{$owner}",
        Accept          => $lines ? 'application/x-ndjson' : 'application/json',
        'Last-Event-ID' => $cursor,
        $lines || rand() < 0.5 ? () : (Prefer => 'wait=1'),
    );
    print {$out} join("\t", 'open', time, $cursor), "\n";
    # HTTP/1.0: the body is as it is, to its end
    my $r = Wire::raw($l->port, "GET $path$query HTTP/1.0\r\nConnection: close\r\n"
        . join('', map { "$headers[2 * $_]: $headers[2 * $_ + 1]\r\n" } 0 .. @headers / 2 - 1) . "\r\n", 60, 1e9);
    print {$out} join("\t", 'head', time, $r->status), "\n";
    return ($cursor, 'reset') if $r->status == 410;
    return ($cursor, 'closed') if $r->status != 200;
    for my $line (split /\n/, $lines ? $r->body : '') {
        my ($id) = $line =~ /^\{"id":"([^"]+)"/ or next;
        print {$out} join("\t", 'event', time, $cursor = $id, $line), "\n";
    }
    return ($cursor, 'end') if $lines;
    print {$out} join("\t", 'event', time, $_->{id}, $json->encode($_)), "\n" for @{ $r->json->{events} };
    print {$out} join("\t", 'position', time, $r->json->{cursor}, ''), "\n";
    return ($r->json->{cursor}, 'end');
}

# Watches a group, an owner, or all, until it has come to the position where all was quiet.
sub watch {
    my ($out, $owner, $path, $start, $pages) = @_;
    my ($cursor, $how) = ($start, '');
    my $w = Wire->http($l->port);
    while (1) {
        my $last = Leat::slurp($final);
        return if $last && ($how eq 'rotated' || $pages && $how eq 'end') && (seq_of($cursor) // 0) >= $last;
        if ($pages && defined seq_of($cursor) && $how ne 'reset') {
            ($cursor, $how) = fetch($out, $w, $owner, $path, $cursor);
            sleep rand 0.3;
        }
        else {
            ($cursor, $how) = visit($out, $owner, $path, $cursor, $last ? 1e9 : pick(3, 20, 100, 1000));
            sleep rand 2 if rand() < 0.1;
        }
    }
}

# Watches one task after the other, each to its end.
sub watch_tasks {
    my ($out) = @_;
    open my $in, '<', $created or die "$created: $!";
    my @known;
    while (1) {
        my $last = Leat::slurp($final);
        seek $in, 0, 1;
        push @known, map { [split] } grep { /\n/ } readline $in;
        return if $last && !@known;
        if (!@known) {
            sleep 0.05;
            next;
        }
        # the newest, but not always
        my ($owner, $id) = @{ splice @known, $last || rand() < 0.2 ? int rand @known : -1, 1 };
        @known = @known[-200 .. -1] if @known > 200;
        @known = @known[-20 .. -1]  if @known > 20 && $last;
        my $types = rand() < 0.2 ? '?types=task.*' : '';
        print {$out} join("\t", 'task', $owner, $id, $types), "\n";
        my ($cursor, $how) = (undef, '');
        until ($how =~ /^(?:finished|none|gone)$/) {
            ($cursor, $how) = visit($out, $owner, "/api/tasks/$id/events$types", $cursor, pick(1, 2, 5, 1000));
        }
    }
}

my %watchers = (
    'owner-alice'    => ['alice', '/api/events'],
    'owner-bob'      => ['bob',   '/api/events?last_event_id=earliest'],
    'owner-filtered' => ['alice', '/api/events?types=task.status_changed,group.*,task.deleted'],
    'owner-pages'    => ['bob',   '/api/events?types=task.*,doc.*', 'now', 1],
    'group-alice'    => ['alice', '/api/groups/g0/events'],
    'group-bob'      => ['bob',   '/api/groups/g0/events'],
    'group-filtered' => ['bob',   '/api/groups/g1/events?types=doc.*,message.delta'],
    'group-pages'    => ['alice', '/api/groups/g2/events', 'now', 1],
    'admin'          => ['admin', '/api/events'],
);

# ---- a minute of it ------------------------------------------------------------------------------

my $end = time + $seconds;
for my $name (sort keys %watchers) {
    spawn($name, sub { watch($_[0], @{ $watchers{$name} }) });
}
spawn("task-$_", sub { watch_tasks($_[0]) }) for 1 .. 3;
spawn("does-$_", do { my $number = $_; sub { act($_[0], $number, $end) } }) for 1 .. $writers;

ok wait_for(qr/^does/, $seconds + 60), 'those who do things come to an end';
# what would wait for long (retries wait ever longer) is called off
my $unfinished = "SELECT owner, id, run_at > 1000 * (unixepoch('now') + 2) FROM tasks WHERE status IN ('pending', 'running')";
my $all_quiet = wait_until {
    my @rows = sql($l, $unfinished);
    for (grep { $_->[2] } @rows) {
        my ($owner, $id) = @$_;
        $l->http(POST => "/api/tasks/$id/cancel", headers => {Authorization => "Bearer $token{$owner}"});
    }
    !@rows
} $quiet;
ok $all_quiet, 'every task comes to an end' or diag explain [sql($l, 'SELECT id, type, status, run_at FROM tasks WHERE completed_at IS NULL LIMIT 5')];
my $newest = (sql($l, "SELECT seq FROM sqlite_sequence WHERE name = 'events'"))[0][0];
Leat::write_file("$final.new", $newest);
rename "$final.new", $final or die "$final: $!";
ok wait_for(qr/./, $quiet), 'every watcher comes to the end' or diag join ' ', values %children;

# ---- what is so ----------------------------------------------------------------------------------

my (@told, %told, %task, %deleted_at);    # events in order and by seq; by n what the log says of a task
for (sql($l, 'SELECT seq, task, task_seq, owner, group_id, task_id, request_id, type, ts, at, payload FROM told ORDER BY seq')) {
    my %e;
    @e{qw(seq task task_seq owner group_id task_id request_id type ts at payload)} = @$_;
    push @told, $told{ $e{seq} } = \%e;
    push @{ $task{ $e{task} } }, \%e if $e{task} ne '';
    $e{payload} = $json->decode($e{payload});
}
my $epoch = (sql($l, "SELECT value FROM meta WHERE key = 'epoch'"))[0][0];
my %n_of  = map { $task{$_}[0]{task_id} => $_ } keys %task;
my %left  = map { $_->[0] => $_ } sql($l, 'SELECT n, id, owner, type, group_id, status FROM tasks');

# what was deleted: by owner, in order, [the highest seq that went, when, the task]
my %deletions;
for my $e (grep { $_->{type} eq 'task.deleted' } @told) {
    my $n = $n_of{ $e->{task_id} };
    $task{$n}[0]{gone_at} = $deleted_at{$n} = $e->{at};
    push @{ $deletions{$_} }, [$task{$n}[-1]{seq}, $e->{at}, $e->{task_id}] for $e->{owner}, 'admin';
}

# A list of what is wrong is short enough to be read.
sub nothing_wrong {
    my ($name, @wrong) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply([@wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]], [], $name) || (diag(scalar(@wrong) . " are wrong"), 0)[1];
}

# What the clients' files say.
sub lines_of { return map { chomp; [split /\t/, $_, -1] } split /^/, Leat::slurp("$dir/$_[0]") }

my (%answered, @made, @put, %delete_seen, @died);
for my $name (map { "does-$_" } 1 .. $writers) {
    for (lines_of($name)) {
        my ($what, @rest) = @$_;
        if    ($what eq 'did')          { $answered{"$rest[0] $rest[1]" . ($rest[2] ? " ($rest[2])" : '')}++ }
        elsif ($what eq 'made')         { push @made, \@rest }
        elsif ($what eq 'put')          { push @put, \@rest }
        elsif ($what eq 'deleted')      { $delete_seen{ $rest[1] } = $rest[2] }
        elsif ($what eq 'died')         { push @died, "$name: @rest" }
        elsif ($what eq 'foreign-read') { push @died, "$name read another's task $rest[0]" }
    }
}
note join ', ', map { "$_: $answered{$_}" } sort keys %answered;
note scalar(@told) . ' events, ' . keys(%task) . ' tasks, ' . keys(%deleted_at) . ' deleted';

my $expected = qr/^(?:create\ 202|create-keyed\ (?:202|422)|publish\ 202|group-\w+\ 202|context\ 200
    |put\ (?:200|412)|(?:cancel|retry)\ (?:202|404|409)|delete\ (?:204|404|409)|foreign\ 404|read\ (?:200|404))$/x;
nothing_wrong('every request was answered as it may be, none by 5xx', @died,
    map { "$_: $answered{$_} times" } grep { !/$expected/ } sort keys %answered)
    or diag Leat::slurp($l->state . '/nginx.log'), grep { !/level=(?:info|debug)/ } map { "$_\n" } split /\n/, $l->log;
for my $what ('create 202', 'cancel 202', 'retry 202', 'delete 204', 'put 200', 'put 412', 'publish 202', 'group-cancel 202') {
    ok $answered{$what}, "$what happened";
}

subtest 'the log, the tasks and the groups agree' => sub {
    my (@gaps, @chain, @status);
    for my $n (sort { $a <=> $b } keys %task) {
        my @events = @{ $task{$n} };
        my $seqs = join ' ', map { $_->{task_seq} } @events;
        push @gaps, "task $n: $seqs" if $seqs ne join ' ', 1 .. @events;
        my $is = '';
        for (@events) {
            if ($_->{type} eq 'task.created') { $is = 'pending' }
            elsif ($_->{type} eq 'task.status_changed') {
                push @chain, "seq $_->{seq}: from $_->{payload}{from}, was $is" if $_->{payload}{from} ne $is;
                $is = $_->{payload}{to};
            }
        }
        push @status, "task $n is $left{$n}[5], its log says $is" if $left{$n} && $left{$n}[5] ne $is;
        push @status, "task $n is gone without a word" unless $left{$n} || $deleted_at{$n};
        push @status, "task $n was deleted as $is" if $deleted_at{$n} && $is !~ $terminal;
    }
    push @status, map { "task $_ is in no log" } grep { !$task{$_} } keys %left;
    nothing_wrong('task_seq counts 1, 2, 3 ... in every task', @gaps);
    nothing_wrong('every change of status begins where the one before ended', @chain);
    nothing_wrong("every task's status is the last in its log", @status);

    # what is left of the log is what was told, but for deleted tasks
    my @kept = map { $_->[0] } sql($l, 'SELECT seq FROM events ORDER BY seq');
    is "@kept", join(' ', map { $_->{seq} } grep { !($_->{task} ne '' && $deleted_at{ $_->{task} }) } @told),
        'the log holds all but the events of deleted tasks';

    my (%counts, %version, %group_is, @groups_wrong, @versions);
    for (values %left) {
        my (undef, undef, $owner, undef, $group, $status) = @$_;
        $counts{"$owner/$group"}{$status}++ if $group ne '';
    }
    for my $e (@told) {
        my $group = "$e->{owner}/$e->{group_id}";
        if ($e->{type} eq 'group.context_changed') {
            push @versions, "$group: $e->{payload}{version} at seq $e->{seq}" if $e->{payload}{version} != ++$version{$group};
        }
        next if $e->{type} ne 'group.status_changed';
        my $was = $group_is{$group} // 'idle';
        push @groups_wrong, "$group at seq $e->{seq}: from $e->{payload}{from}, was $was" if $e->{payload}{from} ne $was;
        $group_is{$group} = $e->{payload}{to};
        my $should = group_status($e->{payload}{counts});
        push @groups_wrong, "$group at seq $e->{seq}: $e->{payload}{to}, by its counts $should" if $e->{payload}{to} ne $should;
    }
    my $w = Wire->http($l->port);
    for my $owner (@owners) {
        for my $group (@groups) {
            my $r = $w->ask(GET => "/api/groups/$group", headers => [Authorization => "Bearer $token{$owner}"])->json;
            my %should = map { $_ => $counts{"$owner/$group"}{$_} || 0 } qw(pending running completed failed timeout cancelled);
            my $have = $json->encode($r->{counts});
            push @groups_wrong, "$owner/$group: $have" if $have ne $json->encode(\%should);
            my $status = group_status(\%should);
            push @groups_wrong, "$owner/$group is $r->{status}, should be $status" if $r->{status} ne $status;
            my $said = $group_is{"$owner/$group"} // 'idle';
            push @groups_wrong, "$owner/$group is $status, its log says $said" if $said ne $status;
            push @versions, "$owner/$group: version $r->{version}" if $r->{version} != ($version{"$owner/$group"} // 0);
        }
    }
    nothing_wrong("groups' counts are a recount, their status is what follows from it, and is told", @groups_wrong);
    nothing_wrong('versions of a context count 1, 2, 3 ...', @versions);
    my %put;
    nothing_wrong('nobody overwrote what he had not seen', map { "$_->[0]/$_->[1]: $_->[2] to $_->[3]" }
        grep { $_->[2] ne '' && $_->[2] =~ s/\D//gr + 1 != $_->[3] =~ s/\D//gr || $put{"@$_[0, 1, 3]"}++ } @put);

    my @recount = sql($l, <<'EOT');
SELECT q.owner, q.priority, q.pending FROM queues q WHERE q.pending <> (SELECT count(*) FROM tasks t
  WHERE t.owner = q.owner AND t.priority = q.priority AND t.type = q.type AND t.status = 'pending' AND t.delayed = 0);
SELECT c.type, c.status, c.tasks FROM task_counts c WHERE c.tasks <> (SELECT count(*) FROM tasks t
  WHERE t.type = c.type AND t.status = c.status)
EOT
    nothing_wrong('queues and totals are a recount', map { "@$_" } @recount);
};

sub group_status {
    my ($c) = @_;
    return 'running'   if $c->{running};
    return 'pending'   if $c->{pending};
    return 'failed'    if $c->{failed} + $c->{timeout};
    return 'completed' if $c->{completed};
    return $c->{cancelled} ? 'cancelled' : 'idle';
}

subtest 'what was answered 2xx is so' => sub {
    my (@lost, %by_key);
    for (@made) {
        my ($owner, $id, $key) = @$_;
        my $n = $n_of{$id};
        push @lost, "$id was never told of" unless $n;
        push @lost, "$id is $task{$n}[0]{owner}'s, not $owner\'s" if $n && $task{$n}[0]{owner} ne $owner;
        $by_key{"$owner $key"}{$id} = 1 if $key ne '' && $key ne 'other';
    }
    push @lost, map { "$_ is still there" } grep { my $n = $n_of{$_}; !$n || $left{$n} || !$deleted_at{$n} } keys %delete_seen;
    nothing_wrong('tasks that were made, and that were deleted', @lost);
    # a key whose task was deleted is free again
    nothing_wrong('one key, one task', map { my $ids = $by_key{$_}; "$_: " . join ' ', sort keys %$ids }
        grep { my $ids = $by_key{$_}; (grep { $n_of{$_} && $left{ $n_of{$_} } } keys %$ids) > 1 } sort keys %by_key);
};

subtest 'jobs: what they said, and when they ran' => sub {
    my (@dropped, @together, %running, %waiting);
    for my $n (keys %task) {
        my @events = @{ $task{$n} };
        next unless $events[0]{payload}{type} eq 'slow' && $events[-1]{payload}{to} && $events[-1]{payload}{to} eq 'completed';
        my $told = '';
        for (@events) {
            $told = '' if ($_->{payload}{to} // '') eq 'running';
            $told .= " $_->{payload}{n}" if $_->{type} eq 'doc.created';
        }
        my $last = $told =~ /(\d+)\z/ ? $1 : 0;
        push @dropped, "task $n:$told" if $last < 1 || $told ne join '', map { " $_" } 1 .. $last;
    }
    nothing_wrong('every event of a job that completed is in the log, in order', @dropped);
    for my $e (@told) {
        my $n = $e->{task};
        next if $n eq '' || $task{$n}[0]{payload}{type} ne $serial || $e->{type} !~ /^task\.(?:created|status_changed)$/;
        my $group = "$e->{owner}/$e->{group_id}";
        my $to    = $e->{payload}{to} // 'pending';
        delete $running{$group}{$n};
        delete $waiting{$group}{$n};
        $waiting{$group}{$n} = 1 if $to eq 'pending';
        next unless $to eq 'running';
        push @together, "task $n at seq $e->{seq} beside " . join ' ', keys %{ $running{$group} } if %{ $running{$group} || {} };
        push @together, "task $n at seq $e->{seq} before $_" for grep { $_ < $n } keys %{ $waiting{$group} || {} };
        $running{$group}{$n} = 1;
    }
    nothing_wrong('tasks of a serialized type ran one at a time, in order', @together);
};

# ---- what was seen -------------------------------------------------------------------------------

# Whether a watcher was shown an event as it is in the log; nothing or what is wrong.
my (%seen_raw, %canonical);
sub shown_wrong {
    my ($seq, $id, $raw) = @_;
    my $e = $told{$seq} or return "an event that never was: $raw";
    return if ($seen_raw{$seq}{$raw} //= do {
        $canonical{$seq} //= $json->encode({
            id => "$epoch-$seq", type => $e->{type}, ts => $e->{ts} + 0, payload => $e->{payload},
            task_seq => $e->{task_seq} eq '' ? undef : $e->{task_seq} + 0,
            map { $_ => $e->{$_} eq '' ? undef : $e->{$_} } qw(task_id group_id request_id),
        });
        my $got = $json->encode(Leat::decode($raw));
        $got eq $canonical{$seq} ? 'ok' : "$raw instead of $canonical{$seq}";
    }) eq 'ok' && $id eq "$epoch-$seq";
    return "seq $seq as id $id: $seen_raw{$seq}{$raw}";
}

# A watcher's file as connections {asked, sent, answered, status, items => [[what, when, id, data], ..]},
# in the order of the file; with the line `task` before them a list for each task.
sub connections {
    my ($name) = @_;
    my @lists = ({list => []});
    for (lines_of($name)) {
        my ($what, @rest) = @$_;
        my $c = $lists[-1]{list}[-1];
        if    ($what eq 'task') { push @lists, {owner => $rest[0], id => $rest[1], types => $rest[2], list => []} }
        elsif ($what eq 'open') { push @{ $lists[-1]{list} }, {asked => $rest[0], sent => $rest[1], items => []} }
        elsif ($what eq 'head') { @$c{qw(answered status)} = @rest }
        elsif ($what eq 'shut') { $c->{how} = $rest[1] }
        elsif ($what eq 'died') { push @died, "$name: @rest" }
        else                    { push @{ $c->{items} }, [$what, @rest] }
    }
    return @lists;
}

sub filter_of {
    my ($path) = @_;
    my ($types) = $path =~ /types=([^&]*)/ or return sub { 1 };
    my $any = join '|', map { s/\.\*\z// ? "\Q$_\E\\..*" : "\Q$_\E" } split /,/, $types;
    return sub { $_[0]{type} =~ /^(?:$any)\z/ };
}

# The highest seq that went with what OWNER had deleted: by deletions that were answered before then; and by
# those that had begun.
sub floor_over {
    my ($owner, $before) = @_;
    return max 0, map { $_->[0] } grep { defined $delete_seen{ $_->[2] } && $delete_seen{ $_->[2] } < $before } @{ $deletions{$owner} || [] };
}

sub floor_begun {
    my ($owner, $before) = @_;
    return max 0, map { $_->[0] } grep { $_->[1] < $before } @{ $deletions{$owner} || [] };
}

my %figures;
for my $name (sort keys %watchers) {
    my ($owner, $path) = @{ $watchers{$name} };
    my ($group) = $path =~ m{/groups/(\w+)/};
    my $filter  = filter_of($path);
    my @mine    = grep { ($owner eq 'admin' || $_->{owner} eq $owner) && (!$group || $_->{group_id} eq $group) && $filter->($_) } @told;
    my %mine    = map { $_->{seq} => 1 } @mine;
    my ($at, $cursor, @wrong) = (0, undef);    # index into @mine of the first event that is yet to come
    my ($lists) = connections($name);
    for my $c (@{ $lists->{list} }) {
        $figures{connections}++;
        my @items = @{ $c->{items} };
        push @wrong, "no answer" unless defined $c->{status};
        push @wrong, "cursor $c->{sent} instead of $cursor" if defined $cursor && $c->{sent} ne $cursor;
        my $sent = seq_of($c->{sent});
        my ($over, $begun) = map { $_ // 0 } floor_over($owner, $c->{asked}), floor_begun($owner, $c->{answered} // time);
        if (($c->{status} // 0) == 410) {
            push @wrong, "410 for $c->{sent}, and no more than $begun was deleted" if $sent >= $begun;
            $figures{410}++;
            next;
        }
        push @wrong, "status $c->{status}" if ($c->{status} // 0) != 200;
        next if @items && $items[0][0] eq 'stream.end' && $items[0][3] =~ /"overloaded"/ && ++$figures{overloaded};

        # where it starts
        my $start = $sent;
        if (@items && $items[0][0] eq 'stream.reset') {
            my (undef, undef, $id, $data) = @{ shift @items };
            $figures{resets}++;
            my $said = Leat::decode($data)->{payload};
            $start = seq_of($said->{oldest});
            push @wrong, "reset {$said->{reason}} of $c->{sent}" if $said->{reason} ne 'evicted' || !defined $sent;
            push @wrong, "reset of $c->{sent}, and no more than $begun was deleted" if ($sent // 0) >= $begun;
            push @wrong, "reset to $said->{oldest}, which was between $over and $begun" if $start < $over || $start > $begun;
            push @wrong, "reset with id $id, oldest $said->{oldest}" if $id ne $said->{oldest};
            push @wrong, 'a reset without a snapshot' unless @items && $items[0][0] eq 'stream.connected' && $items[0][3] =~ /"snapshot":/;
            push @wrong, "connected at $items[0][2] after a reset to $id" if @items && $items[0][2] ne $id;
        }
        elsif (defined $sent) {
            $figures{resumed}++ if defined $cursor;
            push @wrong, "no reset of $c->{sent}, and $over was deleted" if $sent < $over;
            push @wrong, "connected at $items[0][2] instead of $c->{sent}" if @items && $items[0][0] eq 'stream.connected' && $items[0][2] ne $c->{sent};
        }
        if (@items && $items[0][0] eq 'stream.connected') {
            my (undef, undef, $id, $data) = @{ shift @items };
            my $said = seq_of(Leat::decode($data)->{payload}{cursor});
            $start //= $said;
            push @wrong, "connected at $said instead of $start" if $said != $start;
            push @wrong, "connected at $said without an id" if $id eq '' && $path !~ /earliest/;
            push @wrong, "from the earliest, at $said: between $over and $begun" if $path =~ /earliest/ && !defined $sent && ($said < $over || $said > $begun);
            $cursor = $id if $id ne '';
        }
        elsif (@items && !defined $start) {
            push @wrong, 'not connected';
        }
        next unless defined $start;
        $at++ while $at < @mine && $mine[$at]{seq} <= $start;    # before it, or evicted

        # and what comes
        for (@items) {
            my ($what, $when, $id, $data) = @$_;
            my $seq = seq_of($id);
            push @wrong, "$what: $data" if $what !~ /^(?:event|position|stream\.end)$/;
            push @wrong, $data if $what eq 'stream.end' && $data !~ /"reason":"rotated"/;
            next unless defined $seq;
            if ($what eq 'event') {
                my $odd = shown_wrong($seq, $id, $data);
                push @wrong, $odd if $odd;
                push @wrong, "not this watcher's: $data" unless $mine{$seq};
                push @wrong, "again: $data" if $at && $mine[ $at - 1 ]{seq} >= $seq || $seq <= $start;
                $figures{events}++;
            }
            # all up to here has been passed by; who was left out must have been gone by now
            for (; $at < @mine && $mine[$at]{seq} <= $seq; $at++) {
                my $e = $mine[$at];
                next if $what eq 'event' && $e->{seq} == $seq;
                my $gone = $e->{task} ne '' ? $deleted_at{ $e->{task} } : undef;
                $figures{'gone before they were read'}++, next if defined $gone && $gone <= $when;
                push @wrong, "missed: seq $e->{seq} $e->{type} of task $e->{task} before $id" . ($gone ? ', deleted only later' : '');
            }
            $cursor = $id;
        }
        $figures{ $c->{how} // 'fetched' }++;
    }
    push @wrong, 'it never came to the end' unless $at == @mine;
    push @wrong, 'it saw nothing' unless @mine && @{ $lists->{list} } > 1;
    nothing_wrong("$name: each event of its own, once, in order", @wrong);
}

my ($tasks_seen, @wrong, %task_ends) = (0);
for my $name (map { "task-$_" } 1 .. 3) {
    for my $w (connections($name)) {
        my $id = $w->{id} // next;
        my $n  = $n_of{$id};
        my $gone = defined $n && $deleted_at{$n};
        $tasks_seen++;
        my $filter = filter_of($w->{types});
        my @mine = grep { $filter->($_) } @{ $task{$n} || [] };
        my ($at, $cursor, $ended) = (0, '', '');
        for my $c (@{ $w->{list} }) {
            my $of = "$name, task $id ($n), connection after '$c->{sent}'";
            push @wrong, "$of: not after $cursor" if $c->{sent} ne $cursor;
            $ended = $c->{status} if defined $c->{status} && $c->{status} != 200;
            push @wrong, "$of: status " . ($c->{status} // 'none') if ($c->{status} // 0) !~ /^(?:200|204|404)$/;
            push @wrong, "$of: 404, and it is there" if ($c->{status} // 0) == 404 && !($gone && $gone < $c->{answered});
            for (@{ $c->{items} }) {
                my ($what, $when, $event_id, $data) = @$_;
                if ($what eq 'stream.connected') {
                    push @wrong, "$of: connected at '$event_id'" if $event_id ne $cursor;
                    next;
                }
                if ($what eq 'stream.end') {
                    $ended = $1 if $data =~ /"reason":"(\w+)"/;
                    push @wrong, "$of: $data" if $ended !~ /^(?:finished|rotated|overloaded)$/;
                    $cursor = $event_id if $event_id ne '';
                    next;
                }
                if ($what ne 'event') {
                    push @wrong, "$of: $what $data";
                    next;
                }
                my $seq = seq_of($event_id);
                my $odd = shown_wrong($seq, $event_id, $data);
                push @wrong, "$of: $odd" if $odd;
                push @wrong, "$of: $data, expected " . ($mine[$at] ? "task_seq $mine[$at]{task_seq}" : 'no more')
                    if !$mine[$at] || $mine[$at]{seq} != $seq;
                $at++;
                $cursor = $event_id;
            }
        }
        # the end came when the task had ended, and nothing it would show was left out
        $task_ends{$ended}++;
        my $last = $mine[ $at - 1 ];
        push @wrong, "$name, task $id: ended by $ended" unless $ended =~ /^(?:finished|204|404)$/;
        if (!$gone && $at) {
            my @upto = grep { $_->{seq} <= $last->{seq} && $_->{payload}{to} } @{ $task{$n} };
            push @wrong, "$name, task $id: ended after task_seq $last->{task_seq}, and it was not over"
                unless @upto && $upto[-1]{payload}{to} =~ $terminal;
        }
        push @wrong, "$name, task $id: ended before it said anything" if !$gone && !$at;
    }
}
nothing_wrong('watchers of a task: 1, 2, 3 ... to its end', @wrong);
nothing_wrong('no client died', @died);
note join ', ', map { "$_: $figures{$_}" } sort keys %figures;
note "$tasks_seen tasks watched: ", join ', ', map { "$_ $task_ends{$_}" } sort keys %task_ends;
if ($seconds >= 10) {
    ok $figures{$_}, "it happened: $_" for qw(cut rotated resumed resets);
    cmp_ok $tasks_seen, '>', 10, 'tasks were watched';
}
nothing_wrong('the programs had nothing to complain about', $l->log =~ /^(.*level=error.*|supervise: .*)$/mg);

diag "SEED=$seed" unless Test::More->builder->is_passing;
$l->stop;
done_testing;
