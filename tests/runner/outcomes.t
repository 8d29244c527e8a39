#!/usr/bin/perl
# What can go wrong around a runner, one thing after the other: each has its outcome (leatd(8), OUTCOMES), and
# nothing that was acknowledged is lost.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Faults;
use JSON::PP qw(decode_json);
use Leatd;
use Test::More;
use Time::HiRes qw(sleep time);

# A namespace of mounts of its own: whatever is mounted goes with the test.
my $mounts = $ENV{LEAT_MOUNTS};
if (!defined $mounts) {
    $ENV{LEAT_MOUNTS} = $> == 0 && system('unshare -m true 2>/dev/null') == 0 ? 1 : 0;
    exec 'unshare', '-m', '--propagation', 'private', $^X, $0 if $ENV{LEAT_MOUNTS};
    $mounts = 0;
}
my $build = $ENV{BUILD} || 'build';

# A runner, and a job that waits for a file GO and then says much.
sub room {
    my ($conf) = @_;
    my $l = Leatd->new(conf => $conf);
    my $go = $l->dir . '/go';
    $l->job(quick => "#!/bin/sh\ncat\n");
    $l->job(says  => "#!/bin/sh\necho 1 begun >&3\nuntil [ -e $go.\$LEAT_TASK_ID ]; do sleep 0.02; done\n"
            . "i=0; while [ \$i -lt 300 ]; do i=\$((i + 1)); printf '%d %02000d\\n' \$i 0 >&2; done\necho said\n");
    return $l;
}
sub go { my ($l, $id) = @_; Leatd::spew($l->dir . "/go.$id", '') }
sub begun { my ($l, $id) = @_; return wait_until { scalar $l->events($id, 'task.progress') } }

# A task of the job `says` is as it should be, although something was wrong while it ran.
sub is_whole {
    my ($l, $id, $name) = @_;
    my $row = $l->finished($id, 40) // {};
    is $row->{status}, 'completed', "$name: the task completes";
    is_deeply [@$row{qw(attempt lost)}], [1, 0], '... in its first attempt: the job was left alone';
    is_deeply [map { /^info: (\d+) / } $l->logged($id)], [1 .. 300], '... and of what it said nothing is missing or there twice';
    is $l->result($id), "said\n", '... nor of its result';
}
sub create { my ($l, %opt) = @_; return $l->cgi(POST => '/api/tasks?type=quick', 'some text', %opt) }
sub id_of { return eval { decode_json($_[0]{body})->{task_id} } }

# An answer that says that it is not the client's fault and when to ask again.
sub is_later {
    my ($r, $code, $name) = @_;
    is $r->{status}, 503, "$name: leat.fcgi answers 503";
    like $r->{head}, qr/^Retry-After: \d+/m, '... with Retry-After';
    is eval { decode_json($r->{body})->{code} }, $code, "... $code";
}
sub count { my ($l) = @_; return ($l->sql('SELECT count(*) AS n FROM tasks;'))[0]{n} }
sub ends_well {
    my ($l, @pids) = @_;
    is $l->stop($_), 0, 'the runner stops' for @pids;
    $l->gapless;
    my ($check) = $l->sql('PRAGMA integrity_check;');
    is $check->{integrity_check}, 'ok', 'the database is whole';
    is_deeply [$l->finish], [], 'nothing is left running';
}

subtest 'the disk is full' => sub {
    plan skip_all => 'nothing can be mounted here, nor loaded before the sanitizers'
        if !$mounts && !Faults::possible("$build/leatd");
    my $l    = room('');
    my $disk = $l->dir . '/disk';
    mkdir $disk or die;
    is system("mount -t tmpfs -o size=12m tmpfs $disk"), 0, 'a small disk' if $mounts;
    my %faults = $mounts ? () : Faults->new($l->dir)->env("pwrite:$disk/fill:ENOSPC");
    $l->{db} = "$disk/leat.db";
    $l->conf('');
    my $runner = $l->start({%ENV, %faults});
    my $id     = $l->task('says');
    ok begun($l, $id), 'a task runs';
    system 'head -c ' . ($mounts ? 100_000_000 : 1) . " /dev/zero >$disk/fill 2>/dev/null";
    go($l, $id);
    ok wait_until { $l->log =~ /cannot write, trying again".*full/ }, 'the disk is full: the runner says so and waits';
    is $l->status($id), 'running', '... the task looks as it did';
    my $before = count($l);
    is_later(create($l, env => \%faults), 'database_full', 'meanwhile');
    is count($l), $before, '... and nothing is half-written';
    ok $l->running($runner), 'the runner is there';
    unlink "$disk/fill" or die;
    is_whole($l, $id, 'there is room again');
    my $made = create($l);
    is $made->{status}, 202, 'leat.fcgi takes tasks again';
    is $l->finished(id_of($made))->{status}, 'completed', '... and they run';
    is_deeply [glob "$disk/work/*"], [], 'no working folder is left';
    is $l->stop($runner), 0, 'the runner stops';
    my ($check) = $l->sql('PRAGMA integrity_check;');
    is $check->{integrity_check}, 'ok', 'the database is whole';
    system "umount $disk" if $mounts;
    is_deeply [$l->finish], [], 'nothing is left running';
};

subtest 'the disk has little room: backup, migrate, checkpoints' => sub {
    plan skip_all => 'nothing can be mounted here' if !$mounts;
    my $l    = room('');
    my $disk = $l->dir . '/disk';
    my $leat = "$build/leat --config @{[$l->dir]}/leat.conf";
    mkdir $disk or die;
    is system("mount -t tmpfs -o size=80m tmpfs $disk"), 0, 'a disk';
    $l->{db} = "$disk/leat.db";
    $l->conf('');
    is $l->once, 0, 'a database';
    $l->sql("CREATE TABLE more (bytes); INSERT INTO more SELECT randomblob(3000) FROM generate_series(1, 6000);");
    $l->sql('DELETE FROM more WHERE rowid % 3 = 0;');
    is system("mount -o remount,size=34m $disk"), 0, 'of which nearly all is used';
    my $used = sub { return `df -k --output=used $disk` =~ /(\d+)/ ? $1 / 1024 : die };
    my $before = $used->();
    for my $command ('migrate', "backup $disk/copy") {
        like qx($leat $command 2>&1), qr/full/, "leat $command says so";
        is $? >> 8, 74, '... with 74';
        cmp_ok $used->(), '<', $before + 1, '... and leaves nothing of it';
    }
    is_deeply [glob "$disk/copy*"], [], '... nor a name';

    system "mount -o remount,size=56m $disk";
    $l->job(floods => "#!/bin/sh\nhead -c 60000000 /dev/zero | tr '\\0' x | fold -w 8000 >&2\n");
    my $runner = $l->start;
    my $id     = $l->task('floods');
    ok wait_until(sub { (() = $l->log =~ /cannot write, trying again/g) > 4 }, 60), 'there is no room either for what a job says: the runner tries every second';
    my $tries = () = $l->log =~ /cannot checkpoint/g;
    cmp_ok $tries, '>', 0, '... to write; it has no room to move the log into the database';
    cmp_ok $tries, '<', 3, '... and does not say so all the time';
    system "mount -o remount,size=200m $disk";
    is $l->finished($id, 60)->{status}, 'completed', 'there is room: it goes on';
    is $l->stop($runner), 0, 'the runner stops';
    my ($check) = $l->sql('PRAGMA integrity_check;');
    is $check->{integrity_check}, 'ok', 'the database is whole';
    system "umount $disk";
    is_deeply [$l->finish], [], 'nothing is left running';
};

subtest 'the database cannot be written' => sub {
    my $l = room('');
    SKIP: {
        skip 'nothing can be loaded before the sanitizers', 10 if !Faults::possible("$build/leatd");
        my $faults = Faults->new($l->dir);
        my $wrong  = $l->dir . '/readonly';
        my $runner = $l->start({%ENV, $faults->env("pwrite:$wrong:EROFS")});
        my $id     = $l->task('says');
        ok begun($l, $id), 'a task runs';
        Leatd::spew($wrong, '');
        go($l, $id);
        ok wait_until { $l->log =~ /cannot write, trying again/ }, 'a filesystem that has become read-only: the runner says so and waits';
        my $before = count($l);
        my $r = create($l, env => {$faults->env("pwrite:$wrong:EROFS")});
        is $r->{status}, 500, 'leat.fcgi answers 500';
        is eval { decode_json($r->{body})->{code} }, 'internal', '... internal';
        is count($l), $before, '... and nothing is half-written';
        unlink $wrong;
        is_whole($l, $id, 'it can be written again');
        is $l->stop($runner), 0, 'the runner stops';
    }
    SKIP: {
        skip 'only root becomes somebody else', 3 if $>;
        my @nobody = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups');
        system "chmod 755 " . $l->dir . "; chmod 444 $l->{db}*";
        my $r = create($l, by => \@nobody);
        is_deeply [$r->{status}, $r->{ended} >> 8], [500, 71], 'for a user who may not write leat.fcgi answers 500 and ends with 71';
        my $said = `@nobody $build/leatd --config @{[$l->dir]}/leat.conf --once 2>&1`;
        is $? >> 8, 74, 'leatd of such a user ends with 74' or diag $said;
        like $said, qr/\Q$l->{db}\E/, '... and names the file';
        system "chmod 660 $l->{db}*";
    }
    ends_well($l);
};

subtest 'another program holds the database locked' => sub {
    my $l = room("lease_seconds = 1\n[database]\nbusy_ms = 400\n");
    my @runners = map { $l->start } 1, 2;
    my $id      = $l->task('says');
    ok begun($l, $id), 'a task runs, and there is another runner';
    open my $shell, '|-', "sqlite3 -cmd '.timeout 10000' $l->{db}" or die;
    $shell->autoflush;
    my $held = $l->dir . '/held';
    print {$shell} "BEGIN EXCLUSIVE;\n.shell touch $held\n";
    ok wait_until { -e $held }, 'another program has begun to write, and does not end';
    go($l, $id);
    ok wait_until { $l->log =~ /cannot write, trying again".*(?:busy|locked)/ }, 'the runner says so and waits';
    my $asked = time;
    is_later(create($l), 'database_busy', 'after busy_ms');
    cmp_ok time - $asked, '<', 5, '... not later';
    ok wait_until { $l->row($id)->{lease_until} < 1000 * (time - 1) }, 'the lease has ended';
    print {$shell} "COMMIT;\n";
    close $shell;
    is_whole($l, $id, 'the other program has ended too');
    unlike $l->log, qr/task_fenced|task_lost/, '... and nobody took the task away';
    ends_well($l, @runners);
};

subtest 'the whole machine is stopped' => sub {
    my $l       = room("lease_seconds = 2\n");
    my @runners = map { $l->start } 1, 2;
    my $id      = $l->task('says');
    ok begun($l, $id), 'a task runs';
    my ($row) = $l->sql("SELECT r.pid FROM tasks t JOIN runners r ON r.id = t.runner WHERE t.id = '$id';");
    my ($other) = grep { $_ != $row->{pid} } @runners;
    kill STOP => @runners;
    ok wait_until { $l->row($id)->{lease_until} < 1000 * (time - 1) }, 'for longer than a lease';
    kill CONT => $other;
    my ($seen) = $l->sql("SELECT seen_until AS at FROM runners WHERE pid = $other;");
    ok wait_until { ($l->sql("SELECT seen_until AS at FROM runners WHERE pid = $other;"))[0]{at} > $seen->{at} }, 'the other runner is first to go on';
    kill CONT => $row->{pid};
    go($l, $id);
    is_whole($l, $id, 'then the one that has it');
    unlike $l->log, qr/task_fenced|task_lost/, '... from which nobody took it away';
    ends_well($l, @runners);
};

subtest 'the jobs folder is away' => sub {
    my $l      = room('');
    my $jobs   = $l->{jobs};
    my $runner = $l->start;
    my $early  = $l->task('says');
    ok begun($l, $early), 'a task runs';
    rename $jobs, "$jobs.away" or die;
    my $id = $l->task('quick', input => 'x');
    ok wait_until { $l->log =~ /cannot start a job".*cannot read the jobs folder/ }, 'its folder is gone: the runner says so';
    go($l, $early);
    is_whole($l, $early, 'one that runs does not need it');
    my $before = count($l);
    is create($l)->{status}, 500, 'leat.fcgi answers 500';
    is count($l), $before, '... and nothing is half-written';
    ok wait_until { $l->status($id) eq 'pending' }, 'what is queued waits';
    is $l->row($id)->{attempt}, 0, '... and loses no attempt';
    rename "$jobs.away", $jobs or die;
    is $l->finished($id)->{status}, 'completed', 'the folder is back: it runs';
    is $l->stop($runner), 0, 'the runner stops';
    rename $jobs, "$jobs.away" or die;
    $runner = $l->launch;
    is $l->ended($runner) >> 8, 78, 'a runner does not start without it: 78';
    rename "$jobs.away", $jobs or die;
    ends_well($l);
};

subtest 'a type is removed, or its conf is broken' => sub {
    my $l = room("broken_type_seconds = 0\n");
    my @ids = map { id_of($l->cgi(POST => "/api/tasks?type=$_", '')) } qw(quick says);
    unlink "$l->{jobs}/quick" or die;
    Leatd::spew("$l->{jobs}/says.conf", "timeout = 5\nattempts = many\n");
    is $l->once, 0, 'a runner';
    my ($gone, $broken) = map { $l->row($_) } @ids;
    is_deeply [@$gone{qw(status error_code error_retryable)}], ['failed', 'type_removed', 0], 'a type that is gone: type_removed';
    is_deeply [@$broken{qw(status error_code)}], ['failed', 'exec_failed'], 'a conf with a mistake: exec_failed';
    like $broken->{error_message}, qr{/says\.conf:2: attempts: 'many'}, '... naming file and line';
    ends_well($l);
};

subtest 'the clock is set' => sub {
    plan skip_all => 'nothing can be loaded before the sanitizers' if !Faults::possible("$build/leatd");
    my $l       = room("lease_seconds = 1\n");
    my $faults  = Faults->new($l->dir);
    my @runners = map { $l->start({%ENV, $faults->env}) } 1, 2;
    my $old     = $l->task('quick', input => 'old');
    is $l->finished($old)->{status}, 'completed', 'a task is done';
    my $running = $l->task('says');
    ok begun($l, $running), 'another runs';

    $faults->clock(-3600_000);
    my $id = $l->task('quick', input => 'x');
    is $l->finished($id)->{status}, 'completed', 'an hour back: what comes is done';
    my ($lease) = $l->sql("SELECT lease_until AS at FROM tasks WHERE id = '$running';");
    ok wait_until { ($l->sql("SELECT lease_until AS at FROM tasks WHERE id = '$running';"))[0]{at} < $lease->{at} || $lease->{at} < 1000 * (time - 3000) },
        '... the lease is renewed by the new clock';
    is $l->status($running), 'running', '... and what ran runs on';
    my $later = $l->task('quick', input => 'x', now => int(1000 * time) - 3600_000, run_at => int(1000 * time) - 1800_000);
    ok wait_until { scalar(() = $l->log =~ /msg="the clock was set" by_ms=-3[56]\d{5}/g) >= 2 }, 'both say so in their log';
    is $l->status($later), 'pending', 'what is for later waits for the clock';

    $faults->clock(7200_000);
    is $l->finished($later)->{status}, 'completed', 'two hours forward: it is due';
    ok wait_until { scalar(() = $l->log =~ /msg="the clock was set" by_ms=1\d{7}/g) >= 2 }, 'both notice';
    ok wait_until { ($l->sql("SELECT lease_until AS at FROM tasks WHERE id = '$running';"))[0]{at} > 1000 * (time + 7000) },
        'the lease is renewed by the new clock';
    unlike $l->log, qr/task_lost|task_fenced/, 'the lease that seemed to have ended was not taken from one who lives';
    is $l->status($old), 'completed', 'nothing is removed before its time';
    go($l, $running);
    is_whole($l, $running, 'through all of that');
    cmp_ok $l->row($running)->{completed_at}, '>=', $l->row($running)->{started_at}, 'times are what the clock said';

    # a runner that is gone is found by its process, whatever the clock says
    my $lost = $l->task('says', max_attempts => 1);
    ok begun($l, $lost), 'a task runs';
    my ($row) = $l->sql("SELECT r.pid FROM tasks t JOIN runners r ON r.id = t.runner WHERE t.id = '$lost';");
    kill KILL => $row->{pid};
    $l->ended($row->{pid});
    $faults->clock(0);
    go($l, $lost);
    is $l->finished($lost, 30)->{lost}, 1, 'back again, and its runner killed: the other one takes the task';
    ends_well($l, grep { $_ != $row->{pid} } @runners);
};

subtest 'out of descriptors' => sub {
    my $l = room("workers = 12\n");
    $l->job(slow => "#!/bin/sh\nsleep 0.3\necho done\n");
    my @ids = map { $l->task('slow') } 1 .. 16;
    my $runner = $l->start(['prlimit', '--nofile=44:44']);
    is scalar(grep { ($l->finished($_, 40) // {})->{status} eq 'completed' } @ids), 16, 'with too few for all workers, all tasks are done';
    like $l->log, qr/cannot start a job".*(?:Too many open files|fork)/, '... although some had to be put back';
    is scalar(grep { $l->row($_)->{attempt} != 1 } @ids), 0, '... which cost them no attempt';
    is_deeply [$l->work], [], 'no working folder is left';
    ends_well($l, $runner);
};

subtest 'the fork server is killed' => sub {
    my $l = room('');
    my $did = $l->dir . '/did';
    $l->job(once => "#!/bin/sh\necho \$LEAT_TASK_ID >>$did\n");
    my $runner = $l->start;
    my @ids    = map { $l->task('once') } 1 .. 20;
    my $killed = 0;
    ok wait_until(sub {
        for my $pid (split ' ', slurp("/proc/$runner/task/$runner/children")) {
            $killed += kill KILL => $pid if slurp("/proc/$pid/comm") eq "leatd-fork\n";
        }
        push @ids, $l->task('once') if @ids < 60;
        $killed > 20 && @ids == 60;
    }, 40), 'again and again, while tasks come';
    is scalar(grep { ($l->finished($_, 30) // {})->{status} eq 'completed' } @ids), 60, "$killed times: every task completes";
    is scalar(grep { $l->row($_)->{attempt} != 1 } @ids), 0, '... which cost none an attempt';
    my %did;
    $did{$_}++ for split /\n/, slurp($did);
    is_deeply [sort values %did], [(1) x 60], '... and each did its work once';
    is_deeply [$l->work], [], 'no working folder is left';
    ends_well($l, $runner);
};

subtest 'the working folder' => sub {
    my $l    = room('');
    my $work = $l->dir . '/work';
    my $runner = $l->start;
    SKIP: {
        skip 'root may write anywhere, and nothing can be mounted here', 4 if $> == 0 && !$mounts;
        $> == 0 ? system("mount --bind $work $work && mount -o remount,bind,ro $work") : chmod 0500, $work;
        my $id = $l->task('quick', input => 'x');
        ok wait_until { $l->log =~ /cannot start a job".*cannot make/ }, 'it cannot be written: the runner says so';
        ok wait_until { $l->status($id) eq 'pending' }, '... the task waits';
        is $l->row($id)->{attempt}, 0, '... and loses no attempt';
        $> == 0 ? system("umount $work") : chmod 0700, $work;
        is $l->finished($id)->{status}, 'completed', 'it can be written: the task runs';
    }
    system 'rm', '-rf', $work;
    is $l->finished($l->task('quick', input => 'x'))->{status}, 'completed', 'one that somebody has removed is made anew';
    ends_well($l, $runner);
};
done_testing;
