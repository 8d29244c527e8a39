#!/usr/bin/perl
# autostart = yes: leat.fcgi starts the runner, exactly one, also as a plain CGI program.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cwd qw(abs_path);
use Fcntl qw(LOCK_EX);
use File::Copy qw(copy);
use JSON::PP qw(decode_json);
use Leat ();
use Leatd;
use Test::More;
use Time::HiRes qw(sleep time);

my $build = abs_path($ENV{BUILD} || 'build');
my $l     = Leatd->new(conf => '');
my $dir   = $l->dir;
my $log   = "$dir/runner.log";
$l->job(quick => "#!/bin/sh\nexec cat\n");
$l->job(sleeps => "#!/bin/sh\nuntil [ -e $dir/go ]; do sleep 0.02; done\n", "backoff = 0\n");
$l->job(looks => "#!/bin/sh\nls -l /proc/self/fd\n");

sub settings {
    my ($text) = @_;
    Leatd::spew("$dir/leat.conf", "[database]\npath = $dir/leat.db\n[runner]\njobs = $dir/jobs\nworkers = 4\n"
            . "lease_seconds = 1\nautostart = yes\n$text\n[auth]\nanonymous = alice\n[log]\ntarget = file $log\n");
}

# One request to leat.fcgi as a web server makes it that knows plain CGI only. Waits for the end of both its
# outputs, as such a server does.
sub cgi {
    my ($method, $uri, $body, %opt) = @_;
    my $program = $opt{program} // "$build/leat.fcgi";
    my $input   = "$dir/cgi-$$.in";
    Leatd::spew($input, $body // '');
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  $input   or die;
        open STDERR, '>&', \*STDOUT or die if $opt{both};
        my ($path, $query) = split /\?/, $uri;
        %ENV = (
            GATEWAY_INTERFACE => 'CGI/1.1',
            REQUEST_METHOD    => $method,
            REQUEST_URI       => $uri,
            SCRIPT_NAME       => $path,
            QUERY_STRING      => $query // '',
            CONTENT_LENGTH    => length($body // ''),
            REMOTE_ADDR       => '127.0.0.1',
            HTTP_PROXY        => 'evil',
        );
        exec {$program} $program, '--config', "$dir/leat.conf" or POSIX::_exit(127);
    }
    my $all = do { local $/; readline($out) // '' };
    close $out;
    return $all;
}

sub create {
    my ($type, %opt) = @_;
    my $query = join '&', "type=$type", map { "$_=$opt{$_}" } grep {/delay|max_attempts/} sort keys %opt;
    my $all   = cgi(POST => "/api/tasks?$query", 'some text', %opt);
    my ($id)  = $all =~ /"task_id":"([^"]+)"/ or die "no task: $all";
    return $id;
}

# The runners that were started so far, and those that live.
sub started { return slurp($log) =~ /pid=(\d+) msg="runner_start"/g }
sub living { return grep { slurp("/proc/$_/stat") =~ /^\d+ \(leatd\) [^ZX] /s } started() }
sub end_all { return wait_until(sub { kill TERM => living(); !living() }) }
sub completes { my ($id, $seconds) = @_; return wait_until(sub { $l->status($id) eq 'completed' }, $seconds // 20) }

subtest 'a create starts a runner, and does not wait for it' => sub {
    settings('');
    my $began = time;
    my $id    = create('quick', both => 1);
    cmp_ok time - $began, '<', 5, 'the answer comes at once';
    ok completes($id), 'the task is run';
    is scalar(living()), 1, 'one runner lives';
    my ($pid) = living();
    my ($session) = slurp("/proc/$pid/stat") =~ /\) \S+ \d+ \d+ (\d+)/;
    isnt $session, getpgrp(0), 'in a session that is not ours';
    my %fds = map { my ($n) = m{(\d+)$}; $n => readlink($_) // '' } glob "/proc/$pid/fd/*";
    is $fds{0}, '/dev/null', 'its standard input is nothing';
    is $fds{1}, '/dev/null', 'so is its output';
    is $fds{2}, "$dir/leat.db.runner.log", 'its errors go beside the database';
    is_deeply [grep {m{pipe:|cgi-}} map { $fds{$_} } grep { $_ < 3 } keys %fds], [], 'nothing of the request is open';
    is scalar(grep {m{/leat\.db\.runner$}} values %fds), 1, 'it holds the lock';
    my @env = split /\0/, slurp("/proc/$pid/environ");
    is_deeply [grep {/^(?:HTTP_|QUERY|REQUEST|GATEWAY)/} @env], [], 'nothing of the request is in its environment';
    my ($args) = join ' ', split /\0/, slurp("/proc/$pid/cmdline");
    like $args, qr/--idle-exit 60/, 'it will go when nothing is to be done';
    my $looks = create('looks');
    ok completes($looks), 'a job runs';
    unlike $l->result($looks), qr/leat\.db/, '... and holds neither database nor lock';
    is scalar(started()), 1, 'the runner that is there is enough';
};

subtest 'killed, it is replaced by the next create' => sub {
    my ($pid) = living();
    my $lost = create('sleeps', max_attempts => 1);
    ok $l->reaches($lost, 'running'), 'a task runs';
    kill KILL => $pid;
    ok wait_until(sub { !living() }), 'the runner is killed';
    Leatd::spew("$dir/go", '');
    my $id = create('quick');
    ok completes($id), 'the next task is run';
    ok completes($lost), '... and the one that was lost';
    is scalar(living()), 1, 'by one runner';
};

subtest 'who looks at a task that waits brings one, too' => sub {
    my ($pid) = living();
    my $id = create('quick', delay => 3);
    kill KILL => $pid;
    ok wait_until(sub { !living() }), 'the runner is killed';
    ok wait_until(sub { cgi(GET => '/api/health', '') =~ /^Status: 503/m }), 'the site is not well';
    like cgi(GET => "/api/tasks/$id", ''), qr/"status":"pending"/, 'the task is looked at';
    ok completes($id), '... and run';
    ok end_all(), 'no runner, and nothing to do';
    like cgi(GET => '/api/health', ''), qr/^Status: 200.*"status":"ok".*"runner":false/ms, '... which is well';
    is scalar(living()), 0, '... and needs none';
    ok completes(create('quick')), 'the next task is run';
};

subtest 'twenty at once start one' => sub {
    for my $round (1 .. 3) {
        ok end_all(), 'no runner';
        my $before = () = started();
        my @pids;
        for my $n (1 .. 20) {
            my $pid = fork // die "fork: $!";
            if (!$pid) {
                my $ok = eval { create('quick'); 1 };
                POSIX::_exit($ok ? 0 : 1);
            }
            push @pids, $pid;
        }
        my $failed = grep { waitpid $_, 0; $? } @pids;
        is $failed, 0, 'twenty creates are answered';
        ok wait_until(sub {
            my ($row) = $l->sql("SELECT count(*) AS n FROM tasks WHERE status NOT IN ('completed');");
            $row->{n} == 0;
        }), 'all are run';
        is scalar(() = started()) - $before, 1, 'by one runner';
        is scalar(living()), 1, '... that lives';
    }
};

subtest 'retry and cancel start one as well' => sub {
    my $id = create('quick', delay => 3600);
    ok end_all(), 'no runner';
    my $all = cgi(POST => "/api/tasks/$id/cancel", '');
    like $all, qr/"status":"cancelled"/, 'cancelled without one';
    is scalar(living()), 0, 'which needs none';
    cgi(POST => "/api/tasks/$id/retry", '');
    ok completes($id), 'a retry is run';
};

subtest 'a runner that was started by hand is enough, one that leaves at once is not' => sub {
    ok end_all(), 'no runner';
    my $before = () = started();
    settings("[log]\ntarget = stderr");
    Leatd::spew("$dir/leat.conf", slurp("$dir/leat.conf") . "target = stderr\n");
    my ($one, $two) = ($l->start, $l->start);
    settings('');
    my $id = create('quick');
    ok completes($id), 'a task is run';
    is scalar(() = started()), $before, 'by those that are there';
    is $l->stop($_), 0, 'they stop' for $one, $two;
    $id = create('quick');
    ok completes($id), 'the next task is run';
    is scalar(() = started()), $before + 1, 'by a new one';
};

subtest 'a task that is due later keeps it' => sub {
    ok end_all(), 'no runner';
    settings('idle_exit = 0.1');
    my $before = () = started();
    my $id = create('quick', delay => 1.5);
    ok completes($id), 'without another request it is run in time';
    is scalar(() = started()), $before + 1, 'by the one that was started first';
    ok wait_until(sub { !living() }), 'then it goes';
};

subtest 'no task is left behind by a runner that goes' => sub {
    settings('idle_exit = 0.03');
    my $before = () = started();
    my ($rounds, @left) = ($ENV{ROUNDS} || 120);
    for (1 .. $rounds) {
        my $id = create('quick');
        completes($id, 15) or push @left, $id;
        sleep rand 0.06;
    }
    is_deeply \@left, [], "$rounds tasks, all run";
    my $runners = (() = started()) - $before;
    cmp_ok $runners, '>', 10, "by $runners runners";
    ok wait_until(sub { !living() }), 'the last one goes too';
};

# Who waits in the write lock, by pid.
sub waiters {
    my $inode = (stat "$dir/leat.db.lock")[1];
    return slurp('/proc/locks') =~ /^\d+: +-> FLOCK +\S+ +WRITE (\d+) \S+:$inode /mg;
}

# The two orders in which a create and a runner that goes can come to write, made to happen.
for my $first ('the create', 'the runner') {
    subtest "$first comes first" => sub {
        settings("idle_exit = 1\nlease_seconds = 30");    # nor does it renew anything meanwhile
        end_all();
        for my $round (1 .. 3) {
            my $runner;
            ok wait_until(sub { completes(create('quick')) && (($runner) = living()) }), 'a runner is there';
            open my $lock, '+<', "$dir/leat.db.lock" or die "write lock: $!";
            flock $lock, LOCK_EX or die "flock: $!";
            # what it has to write apart from its goodbye is given up after a moment
            my $at_the_door = sub {
                return wait_until(sub { my $n = 0; for (1 .. 8) { $n += grep { $_ == $runner } waiters(); sleep 0.02 } $n == 8 });
            };
            my $create = sub {
                my $pid = fork // die "fork: $!";
                return $pid if $pid;
                close $lock;
                POSIX::_exit(eval { Leatd::spew("$dir/created", create('quick')); 1 } ? 0 : 1);
            };
            my ($pid, $there);
            if ($first eq 'the create') {
                $pid   = $create->();
                $there = wait_until(sub { grep { $_ != $runner } waiters() });
                ok $there, 'the create waits for its turn';
                ok $at_the_door->(), '... and behind it a runner that has seen nothing to do';
            }
            else {
                ok $at_the_door->(), 'a runner that has seen nothing to do waits for its turn';
                $pid   = $create->();
                $there = wait_until(sub { grep { $_ != $runner } waiters() });
                ok $there, '... and behind it a create';
            }
            close $lock;
            waitpid $pid, 0;
            is $?, 0, 'the create is answered';
            ok completes(slurp("$dir/created")), 'and the task is run';
            is scalar(grep { $_ == $runner } living()), $first eq 'the create' ? 1 : 0,
                $first eq 'the create' ? 'by the runner, which stayed' : 'by another runner';
        }
    };
}

subtest 'where leatd is looked for' => sub {
    settings('');
    ok end_all(), 'no runner';
    mkdir "$dir/$_" or die for qw(site site/cgi-bin site/sbin);
    my $api = "$dir/site/cgi-bin/leat.fcgi";
    copy("$build/leat.fcgi", $api) or die "copy: $!";
    chmod 0755, $api;
    Leatd::spew($log, '');
    my $id = create('quick', program => $api);
    like slurp($log), qr/cannot start a runner" error="there is no leatd/, 'nowhere: the log says so';
    is $l->status($id), 'pending', '... and the task is safe';
    Leatd::spew("$dir/site/sbin/leatd", 'no program');
    chmod 0755, "$dir/site/sbin/leatd";
    create('quick', program => $api);
    like slurp($log), qr{cannot start a runner" error="[^"]*sbin/leatd: Exec format error}, 'no program: so too';
    copy("$build/leatd", "$dir/site/sbin/leatd") or die "copy: $!";
    create('quick', program => $api);
    ok completes($id), 'in ../sbin: all are run';
    ok end_all(), 'and it stops';
};

# ---- the same as FastCGI, behind nginx ----

subtest 'leat.fcgi behind nginx starts one' => sub {
    my $s    = Leat->start(conf => "[runner]\nautostart = yes\n[log]\ntarget = file $dir/nginx.log\n");
    my $runs = sub { return slurp("$dir/nginx.log") =~ /program=leatd pid=(\d+) msg="runner_start"/g };
    my $live = sub { return grep { slurp("/proc/$_/stat") =~ /^\d+ \(leatd\) [^ZX] /s } $runs->() };
    kill STOP => $s->{pid};    # or the supervisor would start its own again
    for my $round (1 .. 2) {
        my $before = () = $runs->();
        kill KILL => $live->();
        ok wait_until(sub { !$live->() }), 'the runner is killed';
        my @pids;
        for my $n (1 .. 20) {
            my $pid = fork // die "fork: $!";
            if (!$pid) {
                my $r = $s->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'a b'}, timeout => 20);
                POSIX::_exit($r->status == 202 ? 0 : 1);
            }
            push @pids, $pid;
        }
        is scalar(grep { waitpid $_, 0; $? } @pids), 0, 'twenty creates are answered';
        ok wait_until(sub {
            my $r = $s->http(GET => '/api/tasks?status=completed&page_size=200');
            @{ $r->json->{tasks} } == 20 * $round;
        }, 20), 'all are run';
        is scalar(() = $runs->()) - $before, 1, 'by one runner';
        is scalar($live->()), 1, '... that lives';
    }
    is $s->http(GET => '/api/health')->status, 200, 'the site is well';
    my ($pid) = $live->();
    for my $api ($s->pids('web')) {
        unlike join(' ', map { readlink($_) // '' } glob "/proc/$api/fd/*"), qr/db\.runner/, 'leat.fcgi keeps no lock';
    }
    kill TERM => $pid;
    ok wait_until(sub { !$live->() }), 'it stops';
    kill CONT => $s->{pid};
    $s->stop;
};

$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
