#!/usr/bin/perl
# Every kind of call to the system fails once, at one place after the other, while a runner has work: it goes
# on, or ends as its manual page says and is started again, and in the end each task has ended exactly once.
# The same for leat.fcgi: what it acknowledged is there.
#
# FAULT_STRIDE=1 tries every place (hours), by default a few of each kind, others each time; SEED repeats
# them. FAULTS="pwrite:17:ENOSPC ..." tries these.
use strict;
use warnings;
use File::Copy qw(copy);
use FindBin;
use lib $FindBin::Bin;
use Faults;
use JSON::PP;
use Leatd;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

my $build = $ENV{BUILD} || 'build';
plan skip_all => 'nothing can be loaded before the sanitizers' if !Faults::possible("$build/leatd");
my $seed = $ENV{SEED} || time ^ $$;
srand $seed;
diag "SEED=$seed";

# kind, error, places by default
my @plan = (
    [qw(write ENOSPC 4)], [qw(write SHORT 3)],  [qw(pwrite EIO 8)],    [qw(pwrite ENOSPC 8)], [qw(pwrite SHORT 4)],
    [qw(pread EIO 6)],    [qw(sync EIO 6)],     [qw(fsync EIO 3)],     [qw(fork EAGAIN 5)],   [qw(execve ENOMEM 3)],
    [qw(execve ENOENT 3)], [qw(memory ENOMEM 12)], [qw(open EMFILE 10)], [qw(open ENFILE 5)], [qw(mkdir ENOSPC 5)],
    [qw(pipe EMFILE 6)],  [qw(rename EIO 2)],   [qw(remove EIO 4)],    [qw(epoll ENOMEM 5)],  [qw(socket ENOBUFS 8)],
    [qw(flock EINTR 2)],  [qw(flock EIO 3)],    [qw(lock ENOLCK 5)],   [qw(dup EMFILE 5)],    [qw(map ENOMEM 3)],
    [qw(stat EIO 8)],     [qw(limit EPERM 4)],
);
# 0, or what leatd(8) has: unknown on disk, a fault of the program, out of memory, input or output, busy, settings
my %documented = map { $_ => 1 } 0, 1, 71, 74, 75, 78;

# ---- what is to be done ----------------------------------------------------------------------------------

my $l   = Leatd->new(conf => "lease_seconds = 30\n");
my $dir = $l->dir;
# The lock is the task's: whoever finds it taken says so.
my $alone = "#!/bin/sh\nexec 9>>\$HOME/lock.\$LEAT_TASK_ID\n"
    . "flock -n 9 || { echo \"\$LEAT_TASK_ID \$LEAT_ATTEMPT\" >>\$HOME/twice; exit 1; }\n";
my %jobs = (
    gives => "cat\n",
    fails => "echo no >&2\nexit 64\n",
    again => "[ \$LEAT_ATTEMPT -gt 1 ] || exit 75\necho again\n",
    talks => "echo 10 begun >&3\necho '<4>careful' >&2\necho '{\"type\":\"page.read\",\"payload\":{\"n\":1}}' >&3\n"
        . "echo '{\"checkpoint\":{\"at\":5}}' >&3\necho 90 nearly >&3\necho '{\"said\":true}'\n",
    files => "echo one >\$LEAT_FILES/one.txt\necho two >\$LEAT_FILES/two.txt\n",
    chat  => "read was <\$LEAT_CONTEXT_FILE\necho \"{\\\"context\\\":{\\\"was\\\":\$was}}\" >&3\n",
);
$l->job($_ => $alone . $jobs{$_}, "backoff = 0\n") for keys %jobs;
my %task = map { $_ => $l->task($_, max_attempts => $_ eq 'again' ? 2 : 1) } qw(fails again talks files);
$task{gives} = $l->task('gives', input => 'hello');
$task{large} = $l->task('gives', input => 'x' x 100_000);
$task{"chat$_"} = $l->task('chat', group => 'room') for 1, 2;
my %expected = map { $_ => 'completed' } keys %task;
$expected{fails} = 'failed';
$l->sql("UPDATE tasks SET serialize = 1, blocked = (n = (SELECT max(n) FROM tasks)) WHERE type = 'chat';"
        . ' PRAGMA wal_checkpoint(TRUNCATE);');

my $faults = Faults->new($dir);
my $json   = JSON::PP->new->utf8->allow_nonref;

sub query {
    my ($db, $text) = @_;
    my $out = `sqlite3 -json -cmd '.timeout 10000' $db "$text" 2>&1`;
    die "$out\n" if $?;
    return @{ $json->decode($out eq '' ? '[]' : $out) };
}

# Runs a program to its end: its wait status; undef when it has none.
sub run {
    my ($seconds, $env, $log, @command) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setpgrp 0, 0;
        $ENV{$_} = $env->{$_} for keys %$env;
        open STDIN,  '<',  '/dev/null' or die;
        open STDOUT, '>',  "$log.out"  or die;
        open STDERR, '>>', $log        or die;
        exec @command or POSIX::_exit(127);
    }
    my $status;
    wait_until { $status = $? if waitpid($pid, WNOHANG); defined $status } $seconds;
    return $status if defined $status;
    kill KILL => -$pid;
    waitpid $pid, 0;
    return;
}

# Tries one fault on a runner; gives what is wrong, "" if nothing is.
sub try_runner {
    my ($fault, $home, $page, $how) = @_;
    my $db    = "$home/leat.db";
    my %env   = (HOME => $home, LEAT_DATABASE_PATH => $db);
    my @leatd = ("$build/leatd", '--config', "$dir/leat.conf", '--once');
    my $began = time;

    my $status = run(45, {%env, $page->env($fault)}, "$home/log", @leatd) // return 'the runner does not end';
    my $took   = time - $began;
    return "the runner is killed by signal $status" if $status & 127;
    my $exit = $status >> 8;
    $$how = $page->failed ? "status $exit" : 'not reached';
    return "the runner ends with status $exit" if !$documented{$exit};
    return "a failed sync, and it ends with $exit" if $fault =~ /^sync/ && $page->failed && $exit != 1;
    return "status $exit, and nothing failed" if $exit && !$page->failed;

    my %seen = map { $_->{id} => $_->{status} } query($db, "SELECT id, status FROM tasks WHERE completed_at");
    for (1 .. 10) {
        my ($open) = query($db, "UPDATE tasks SET run_at = NULL, delayed = 0 WHERE status = 'pending' AND run_at IS NOT NULL;"
                . " SELECT count(*) AS n FROM tasks WHERE completed_at IS NULL");
        last if !$open->{n};
        $status = run(45, \%env, "$home/log", @leatd);
        return 'the next runner ends with ' . ($status // 'no') . ' status' if $status // 1;
    }
    # what the last one may have left to the next
    $status = run(45, \%env, "$home/log", @leatd);

    my @wrong;
    my %row = map { $_->{id} => $_ } query($db, "SELECT t.id, status, error_code, attempt, CAST(body AS text) AS result,"
            . " (SELECT count(*) FROM events e WHERE e.task = t.n AND e.type = 'task.status_changed' AND"
            . " json_extract(e.payload, '\$.to') NOT IN ('pending', 'running')) AS ends, (SELECT count(*) FROM events e"
            . " WHERE e.task = t.n) - (SELECT max(task_seq) FROM events e WHERE e.task = t.n) AS gap,"
            . " (SELECT count(*) FROM events e WHERE e.task = t.n AND e.type = 'page.read') AS said,"
            . " (SELECT count(*) FROM events e WHERE e.task = t.n AND e.payload LIKE '%careful%') AS logged"
            . " FROM tasks t LEFT JOIN results r ON r.task = t.n" =~ s/\$/\\\$/gr);
    for my $name (sort keys %task) {
        my $row = $row{ $task{$name} } // { status => 'gone' };
        my $is  = $row->{status} . ($row->{error_code} ? " ($row->{error_code})" : '');
        # A process that did not become its job, or files that could not be kept: that has cost the attempt.
        my $may = $is eq 'failed (exec_failed)' && ($name eq 'files' || $fault =~ /^(?:execve|limit|dup):/);
        push @wrong, "$name is $is" if $row->{status} ne $expected{$name} && !$may;
        push @wrong, "$name ended $row->{ends} times" if ($row->{ends} // 0) != 1;
        push @wrong, "the log of $name has a gap" if $row->{gap};
        push @wrong, "$name was $seen{$row->{id}} and is $is" if ($seen{ $row->{id} } // $row->{status}) ne $row->{status};
        next if $row->{status} ne 'completed';
        my %result = (gives => 'hello', large => 'x' x 100_000, again => "again\n", talks => qq({"said":true}\n));
        push @wrong, "the result of $name is another" if ($row->{result} // '') ne ($result{$name} // '');
        push @wrong, "of $name the log has $row->{said} and $row->{logged} of what it said in $row->{attempt} attempts"
            if $name eq 'talks' && grep { $_ < 1 || $_ > $row->{attempt} } @$row{qw(said logged)};
        my @files = map { m{([^/]+)$} } glob "$home/files/$task{$name}/*";
        push @wrong, "the files of $name are @files" if "@files" ne ($name eq 'files' ? 'one.txt two.txt' : '');
    }
    my $chats = grep { $row{ $task{$_} }{status} eq 'completed' } qw(chat1 chat2);
    my ($all) = query($db, "SELECT (SELECT json FROM contexts) AS context, (SELECT group_concat(integrity_check)"
            . " FROM pragma_integrity_check) AS check_, (SELECT count(*) FROM files) AS files");
    push @wrong, 'the context is ' . ($all->{context} // 'null') if ($all->{context} // 'null') ne '{"was":' x $chats . 'null' . '}' x $chats;
    push @wrong, "integrity: $all->{check_}" if $all->{check_} ne 'ok';
    push @wrong, "twice at a time: " . slurp("$home/twice") if -s "$home/twice";
    push @wrong, 'working folders are left: ' . join ' ', glob "$home/work/*" if glob "$home/work/*";
    my @kept = glob "$home/files/*";
    push @wrong, "files are left: @kept" if @kept != ($row{ $task{files} }{status} eq 'completed');
    push @wrong, sprintf 'it took %.1f s', $took if $took > 20;
    return join '; ', @wrong;
}

# Tries one fault on leat.fcgi: what it acknowledged is there, and what it refused is not.
sub try_api {
    my ($fault, $home, $page, $how) = @_;
    my $db = "$home/leat.db";
    my ($was) = query($db, 'SELECT count(*) AS n FROM tasks');
    my $r = $l->cgi(POST => '/api/tasks?type=gives', "what it was given\n", env => {LEAT_DATABASE_PATH => $db, $page->env($fault)});
    $$how = $page->failed ? $r->{status} ? "answer $r->{status}" : 'status ' . ($r->{ended} >> 8) : 'not reached';
    return "it is killed by signal $r->{ended}" if $r->{ended} & 127;
    return "the answer is $r->{status}" if $r->{status} !~ /^(?:0|202|500|503)$/;
    return 'no answer, and it ends with 0' if !$r->{status} && !$r->{ended};
    my ($is) = query($db, 'SELECT count(*) AS n, (SELECT CAST(body AS text) FROM inputs ORDER BY task DESC LIMIT 1) AS input,'
            . ' (SELECT id FROM tasks ORDER BY n DESC LIMIT 1) AS id FROM tasks');
    my ($check) = query($db, 'PRAGMA integrity_check');
    return "integrity: $check->{integrity_check}" if $check->{integrity_check} ne 'ok';
    my $made = $is->{n} - $was->{n};
    my $same = $made == 1 && $is->{input} eq "what it was given\n";
    return 'a task without its input' if $made && !$same;
    return 'acknowledged, and not there' if $r->{status} == 202 && (!$same || $r->{body} !~ /\Q$is->{id}\E/);
    my $open = !$r->{status} || $r->{body} =~ /outcome_unknown/;
    return "refused with $r->{status}, and there" if $made && $r->{status} != 202 && !$open;
    return 'a failed sync, and it was acknowledged' if $fault =~ /^sync/ && $page->failed && $r->{status} == 202;
    return '';
}

# Gives what is wrong, and how the program ended.
sub try_fault {
    my ($fault, $home) = @_;
    mkdir $home or die "$home: $!";
    copy("$dir/leat.db", "$home/leat.db") or die "$home: $!";
    my $page = $faults->page($home);
    my $how  = 'no end';
    my $wrong = $fault =~ s/^api:// ? try_api($fault, $home, $page, \$how) : try_runner($fault, $home, $page, \$how);
    return ($wrong, $how);
}

# ---- the runner ------------------------------------------------------------------------------------------

# How often each kind of call occurs when nothing fails.
my $plain = $faults->page;
{
    mkdir "$dir/plain";
    copy("$dir/leat.db", "$dir/plain/leat.db");
    my $status = run(60, {HOME => "$dir/plain", LEAT_DATABASE_PATH => "$dir/plain/leat.db", $plain->env}, "$dir/plain/log",
        "$build/leatd", '--config', "$dir/leat.conf", '--once');
    is $status, 0, 'nothing fails: the runner ends with 0' or diag slurp("$dir/plain/log");
    my ($open) = query("$dir/plain/leat.db", 'SELECT count(*) AS n FROM tasks WHERE completed_at IS NULL');
    is $open->{n}, 0, '... and all is done';
}
my %calls = $plain->calls;

# The places where to let a kind of call fail.
sub places {
    my ($prefix, $calls, $kind, $error, $places) = @_;
    my $stride = $ENV{FAULT_STRIDE} || $calls / $places;
    $stride = 1 if $stride < 1;
    my @at;
    for (my $at = $ENV{FAULT_STRIDE} ? 1 : 1 + rand $stride; $at < $calls + 1; $at += $stride) { push @at, int $at }
    return map {"$prefix$kind:$_:$error"} @at;
}
my @todo = map { places('', $calls{ $_->[0] }, @$_) } @plan;

# ---- leat.fcgi --------------------------------------------------------------------------------------------

copy("$dir/leat.db", "$dir/plain/api.db");
my $asked = $faults->page;
is $l->cgi(POST => '/api/tasks?type=gives', 'x', env => {LEAT_DATABASE_PATH => "$dir/plain/api.db", $asked->env})->{status}, 202,
    'nothing fails: leat.fcgi takes a task';
my %api = $asked->calls;
push @todo, map { places('api:', $api{ $_->[0] }, @$_) } [qw(pwrite EIO 4)], [qw(pwrite ENOSPC 4)], [qw(pwrite SHORT 2)],
    [qw(pread EIO 3)], [qw(sync EIO 4)], [qw(memory ENOMEM 6)], [qw(open EMFILE 4)], [qw(flock EIO 2)], [qw(lock ENOLCK 3)],
    [qw(stat EIO 3)], [qw(map ENOMEM 1)];

# ---- all of them -----------------------------------------------------------------------------------------

@todo = split ' ', $ENV{FAULTS} if $ENV{FAULTS};
diag scalar(@todo) . ' faults; calls: ' . join ' ', map {"$_ $calls{$_}"} sort keys %calls;

# Several at a time: a runner that waits until there may be space again needs no processor.
my $at_once = 6;
my @workers;
for my $w (0 .. $at_once - 1) {
    my $pid = fork // die "fork: $!";
    push @workers, $pid;
    next if $pid;
    open my $said, '>', "$dir/said.$w" or POSIX::_exit(1);
    $said->autoflush;
    for (my $i = $w; $i < @todo; $i += $at_once) {
        my ($wrong, $how) = eval { try_fault($todo[$i], "$dir/f$i") };
        $wrong //= "the test itself: $@";
        $wrong =~ s/\n/ /g;
        print {$said} "$i $wrong\t$how\n";
        system 'rm', '-rf', "$dir/f$i" if $wrong eq '';
    }
    POSIX::_exit(0);
}
waitpid $_, 0 for @workers;
my (%wrong, %ends);
for (map { split /\n/, slurp("$dir/said.$_") } 0 .. $at_once - 1) {
    my ($i, $what, $how) = /^(\d+) (.*)\t(.*)/ or next;
    $wrong{$i} = $what;
    $ends{$how}++;
}
diag join ', ', map {"$_: $ends{$_}"} sort keys %ends;
cmp_ok $ends{'not reached'} // 0, '<', @todo / 3, 'most of the calls came' if !$ENV{FAULTS};
for my $i (0 .. $#todo) {
    is $wrong{$i}, '', $todo[$i] or diag slurp("$dir/f$i/log");
}
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
