# `make run` as a user types it: it starts, keeps, stops and continues everything, or says why not.
use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Leat;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time);

my $dir  = tempdir('leat-XXXXXX', DIR => '/tmp');
my $test = $$;
my @programs = qw(web runner server);

# Whatever happens, nothing stays behind.
END {
    if ($$ == $test) {
        my $status = $?;
        kill KILL => Leat::members({dir => $dir});
        remove_tree($dir);
        $? = $status;
    }
}

# `make run` with these variables, in a process group of its own as a terminal would start it. Gives a
# Leat that is only asked things: what starts and stops it here is the test.
sub make_run {
    my (%variables) = @_;
    my $self = bless {
        dir   => $dir,
        port  => $variables{PORT} // Leat::free_port(),
        state => $variables{STATE} // "$dir/state",
        owner => 0,
    }, 'Leat';
    %variables = (JOBS => "$dir/jobs", %variables, PORT => $self->{port}, STATE => $self->{state});
    $variables{BUILD} = $ENV{BUILD} if $ENV{BUILD};
    my @make = ('make', 'run', map { "$_=$variables{$_}" } sort keys %variables);
    unlink map { "$dir/$_" } qw(out err);
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid}) {
        setpgrp 0, 0;
        $ENV{TESTED_IN} = $dir;
        # should the make of the tests be our parent: its settings count, its job slots are its own
        $ENV{MAKEFLAGS} =~ s/--jobserver\S*|-j\d*//g if $ENV{MAKEFLAGS};
        delete $ENV{MAKELEVEL};
        open STDIN,  '<', '/dev/null' or die;
        open STDOUT, '>', "$dir/out"  or die;
        open STDERR, '>', "$dir/err"  or die;
        exec qw(setpriv --pdeathsig TERM), @make or POSIX::_exit(127);
    }
    return $self;
}

sub out { return Leat::slurp("$dir/out") }
sub err { return Leat::slurp("$dir/err") }

sub ready {
    my ($self) = @_;
    my $ready = wait_until { out() =~ m{^ready http://127\.0\.0\.1:$self->{port}/$}m || ended($self) } 60;
    ok $ready && !ended($self), 'ready' or die out(), err();
}

sub ended {
    my ($self) = @_;
    return 1 if $self->{ended};
    return 0 if waitpid($self->{pid}, WNOHANG) != $self->{pid};
    $self->{status} = $?;
    return $self->{ended} = 1;
}

sub ends {
    my ($self, $seconds, $what) = @_;
    my $ended = wait_until { ended($self) } $seconds;
    ok $ended, $what;
}

# After the end: nothing of it is left.
sub nothing_is_left {
    my ($self) = @_;
    my $gone = wait_until { !$self->members } 2;
    ok $gone, 'no process' or diag map { "$_ " . Leat::cmdline($_) . "\n" } $self->members;
    is_deeply [glob "$self->{state}/*.pid $self->{state}/*.sock"], [], 'no pid file, no socket';
    ok !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port), 'nobody listens';
}

# A whole task, watched to its end: every program has its part in it.
sub serves {
    my ($self, $what) = @_;
    my $r = $self->http(POST => '/api/tasks', json => {type => 'words', input => 'a b c'});
    my $id = $r->json && $r->json->{task_id} or return fail "$what: $r->{status} $r->{body} $r->{error}";
    my @events = $self->stream("/api/tasks/$id/events")->rest(20);
    is $events[-1]{json}{payload}{reason} // 'cut off', 'finished', $what;
}

sub pids_now {
    my ($self) = @_;
    return {map { $_ => [$self->pids($_)] } @programs};
}

mkdir "$dir/jobs";
my $gate = "$dir/gate";
my %script = (words => "exec wc -w\n", gated => "while [ ! -e $gate ]; do sleep 0.05; done\necho through\n");
for (keys %script) {
    Leat::write_file("$dir/jobs/$_", "#!/bin/sh\n$script{$_}");
    chmod 0755, "$dir/jobs/$_";
}
Leat::write_file("$dir/fine.conf", "[runner]\ndrain_seconds = 0.2\n[http]\npage_size_max = 3\n");

my $run = make_run(CONF => "$dir/fine.conf");

subtest 'it says when it is ready, and is' => sub {
    ready($run);
    is $run->http(GET => '/api/health')->status, 200, 'healthy';
    my $port = $run->port;
    like out(), qr{ curl .*localhost:$port/api/tasks(?s:.*)^ready http://127\.0\.0\.1:$port/\n\z}m,
        'it prints what to try, then that it is ready';
    for my $program (@programs) {
        my $text = Leat::slurp($run->state . "/$program.pid");
        my $copies = $program eq 'web' ? 2 : 1;
        like $text, qr/\A(?:[1-9]\d*\n){$copies}\z/, "$program.pid has one pid a line";
        is scalar(grep { kill 0, $_ } split ' ', $text), $copies, 'of what runs';
    }
    serves($run, 'it works');
    is scalar @{ $run->http(GET => '/api/tasks?page_size=100')->json->{tasks} }, 1, '(one task so far)';
    like Leat::slurp($run->conf_file), qr/^page_size_max = 3$/m, 'the settings in force are in STATE/leat.conf';
};

subtest 'a program that is killed is started again within a second' => sub {
    for my $program (@programs) {
        my $old = pids_now($run);
        my $begin = time;
        kill KILL => @{ $old->{$program} };
        my %gone = map { $_ => 1 } @{ $old->{$program} };
        my $new;
        my $back = wait_until {
            $new = pids_now($run);
            @{ $new->{$program} } == @{ $old->{$program} } && !grep { $gone{$_} } @{ $new->{$program} }
        } 5;
        my $took = time - $begin;
        ok $back, "$program: its pid file has new pids";
        cmp_ok $took, '<', 1.5, 'in time';
        is_deeply {%$new, $program => 0}, {%$old, $program => 0}, 'the others run on';
        my $answers = wait_until { $run->http(GET => '/api/health')->status == 200 } 5;
        ok $answers, 'requests are answered';
        serves($run, 'all works again');
    }
    like err(), qr/\b$_\b.*killed by signal 9/, "it is said of $_" for @programs;
};

subtest 'a second one on the same STATE is refused' => sub {
    my $before = pids_now($run);
    my $second = make_run();
    ends($second, 20, 'it ends');
    isnt $second->{status}, 0, 'with an error';
    like err(), qr/\Q$run->{state}\E.*in use/, 'that says why';
    unlike out(), qr/^ready/m, 'without being ready';
    is_deeply pids_now($run), $before, 'the first one runs on';
    serves($run, 'and works');
};

my ($done, $later, $interrupted, $cursor);

subtest 'Ctrl-C stops everything' => sub {
    my $created = sub { return $run->http(POST => '/api/tasks', json => $_[0])->json->{task_id} };
    my $id = $run->http(GET => '/api/tasks?status=completed')->json->{tasks}[0]{id};
    $done        = $run->http(GET => "/api/tasks/$id")->json;
    $later       = $created->({type => 'words', delay => 600});
    $interrupted = $created->({type => 'gated'});
    my $stream = $run->stream("/api/tasks/$interrupted/events");
    my $start = $stream->next_event(10, 'task.status_changed');
    is $start->{json}{payload}{to}, 'running', '(a task runs, and is watched)';

    kill INT => -$run->{pid};
    my ($end) = $stream->next_event(10, 'stream.end');
    is $end->{json}{payload}{reason}, 'shutdown', 'a stream is told so';
    $cursor = $end->{id};
    ends($run, 15, 'it ends');
    nothing_is_left($run);
};

subtest 'the next one continues with what is there' => sub {
    $run = make_run(CONF => "$dir/fine.conf", PORT => $run->port);
    ready($run);
    is_deeply $run->http(GET => "/api/tasks/$done->{id}")->json, $done, 'a finished task is as it was';
    is $run->http(GET => "/api/tasks/$later")->json->{status}, 'pending', 'one that waits still waits';
    my $stream = $run->stream("/api/tasks/$interrupted/events", headers => {'Last-Event-ID' => $cursor});
    Leat::write_file($gate, '');
    my @events = map { $_->{json} } $stream->rest(20);
    is_deeply [grep { $_->{type} eq 'stream.reset' } @events], [], 'a stream goes on where it stopped';
    is $events[-1]{payload}{reason}, 'finished', 'to the end';
    my $task = $run->http(GET => "/api/tasks/$interrupted")->json;
    is "$task->{status} $task->{result}", 'completed through', 'the task that ran was begun anew';
    is $task->{attempt}, 1, 'at no charge';
};

subtest 'SIGTERM stops everything too' => sub {
    kill TERM => $run->{pid};
    ends($run, 15, 'it ends');
    nothing_is_left($run);
};

subtest 'whoever is killed outright leaves nothing behind that matters' => sub {
    $run = make_run(PORT => $run->port);
    ready($run);
    my ($supervisor) = grep { Leat::cmdline($_) =~ m{/supervise } } $run->members;
    kill KILL => $supervisor;
    ends($run, 15, 'it ends');
    my $gone = wait_until { !$run->members } 15;
    ok $gone, 'its programs end';
    $run = make_run(PORT => $run->port);
    ready($run);
    serves($run, 'the next one works');
    is $run->http(GET => "/api/tasks/$later")->json->{status}, 'pending', 'with the same tasks';
};

subtest 'who cannot wait for the jobs presses Ctrl-C again' => sub {
    unlink $gate;
    my $id = $run->http(POST => '/api/tasks', json => {type => 'gated'})->json->{task_id};
    my $runs = wait_until { $run->http(GET => "/api/tasks/$id")->json->{status} eq 'running' } 10;
    ok $runs, '(a job runs, and drain_seconds is what it is by default)';
    my ($begin, $pressed) = (time, 0);
    my $ended = wait_until {
        kill INT => -$run->{pid} if time >= $begin + $pressed && ++$pressed;
        ended($run)
    } 15;
    ok $ended, 'it ends';
    cmp_ok $pressed, '>', 1, 'not at the first';
    nothing_is_left($run);
};

subtest 'what cannot work is refused, and nothing is started' => sub {
    my $conf = "$dir/bad.conf";
    my $port = Leat::free_port();
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1)
        or die "$port: $@";
    my @cases = (
        ['an unknown key',     {}, "\n[http]\nmax_body_byte = 5\n",          qr/\Q$conf\E:3: .*max_body_byte/],
        ['a bad value',        {}, "[stream]\nheartbeat = 5\nretry_ms = x\n", qr/\Q$conf\E:3: .*retry_ms.*'x'/],
        ['an unknown section', {}, "[htpp]\nprefix = /api\n",                qr/\Q$conf\E:2: .*htpp/],
        ['no INI at all',      {}, "[http]\nwhat is this\n",                 qr/\Q$conf\E:2\b/],
        ['no such CONF',       {CONF => "$dir/none.conf"}, undef, qr/\Q$dir\E\/none\.conf: cannot be read/],
        ['no such JOBS',       {JOBS => "$dir/none"},      undef, qr/JOBS=\Q$dir\E\/none: no such folder/],
        ['a PORT that is none', {PORT => 'http'},          undef, qr/PORT=http: not a port/],
        ['a PORT in use',      {PORT => $port},            undef, qr/127\.0\.0\.1:$port: in use by another program/],
    );
    for my $case (@cases) {
        my ($what, $variables, $text, $said) = @$case;
        Leat::write_file($conf, $text // '');
        my $refused = make_run(STATE => "$dir/fresh", CONF => $conf, %$variables);
        ends($refused, 20, "$what: it ends");
        isnt $refused->{status}, 0, 'with an error';
        like err(), $said, 'that says why';
        unlike out(), qr/^ready/m, 'without being ready';
        is_deeply [$refused->members], [], 'no process';
        is_deeply [glob "$dir/fresh/*.pid $dir/fresh/*.sock"], [], 'no pid file, no socket';
    }
};

done_testing;
