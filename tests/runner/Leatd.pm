# leatd by itself, on a database and a jobs folder of its own: no web server, tasks are created with
# the sqlite3 shell. Core modules only.
#
#     use FindBin;
#     use lib $FindBin::Bin;
#     use Leatd;
#     my $l = Leatd->new(conf => "[runner]\nworkers = 2\n");
#     $l->job(echo => "#!/bin/sh\nexec cat\n");
#     my $id = $l->task('echo', input => 'hello');
#     $l->once;
#     is $l->result($id), 'hello';
#
# Nothing waits for a fixed time: wait_until has a condition and a deadline. What a test leaves running
# is killed at its end, and is a failure.
package Leatd;

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use JSON::PP ();
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_until slurp);

my $top   = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{BUILD} || 'build';
$build = "$top/$build" unless $build =~ m{^/};
my $json = JSON::PP->new->utf8->allow_nonref;
my %all;    # to clean up, by folder
$SIG{$_} = sub { exit 1 }
    for qw(INT TERM HUP PIPE);

# wait_until { condition } SECONDS: its first true value, or false when time is up.
sub wait_until(&;$) {
    my ($condition, $seconds) = @_;
    my $end = time + ($seconds // 20);
    while (1) {
        my $value = $condition->();
        return $value if $value;
        return        if time > $end;
        sleep 0.02;
    }
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or return '';
    local $/;
    return readline($in) // '';
}

sub spew {
    my ($path, $bytes) = @_;
    open my $out, '>:raw', $path or croak "$path: $!";
    print {$out} $bytes;
    close $out or croak "$path: $!";
}

# new(conf => TEXT): leat.conf text behind the defaults of the tests. The database is made by a first
# run of leatd that finds nothing to do.
sub new {
    my ($class, %opt) = @_;
    my $dir  = tempdir('leatd-XXXXXX', DIR => '/tmp');
    my $self = bless {dir => $dir, db => "$dir/leat.db", jobs => "$dir/jobs", pids => []}, $class;
    $all{$dir} = $self;
    mkdir $self->{jobs} or croak "$self->{jobs}: $!";
    $self->conf($opt{conf} // '');
    $self->once == 0 or croak 'no database: ' . $self->log;
    return $self;
}

sub conf {
    my ($self, $text) = @_;
    spew("$self->{dir}/leat.conf",
        "[database]\npath = $self->{db}\n[runner]\njobs = $self->{jobs}\nworkers = 4\n$text");
}

sub dir  { return $_[0]{dir} }
sub log  { return slurp("$_[0]{dir}/leatd.log") }
sub work { return glob "$_[0]{dir}/work/*" }

# Adds a job, and its NAME.conf if there is one.
sub job {
    my ($self, $name, $script, $conf) = @_;
    spew("$self->{jobs}/$name.conf", $conf) if defined $conf;
    spew("$self->{jobs}/.$name",     $script);
    chmod 0755, "$self->{jobs}/.$name";
    rename "$self->{jobs}/.$name", "$self->{jobs}/$name" or croak "$name: $!";
}

# ---- leatd --------------------------------------------------------------------------------------

# start(OPTION..): gives the pid of a runner that registered. A {..} before the options replaces its
# environment, a [..] is a command that starts it.
sub start {
    my ($self, @options) = @_;
    my $pid = $self->launch(@options);
    wait_until { $self->log =~ /pid=$pid msg="runner_start"/ || !$self->running($pid) } 20
        or croak 'leatd does not start: ' . $self->log;
    return $pid;
}

# The same without waiting for anything.
sub launch {
    my ($self, @options) = @_;
    my $env = ref $options[0] eq 'HASH'  ? shift @options : undef;
    my @by  = ref $options[0] eq 'ARRAY' ? @{ shift @options } : ();
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        setpgrp 0, 0;
        %ENV = %$env if $env;
        open STDIN,  '<',  '/dev/null'            or die;
        open STDOUT, '>>', "$self->{dir}/out.log"   or die;
        open STDERR, '>>', "$self->{dir}/leatd.log" or die;
        # should the test be killed outright, it ends too
        exec(@by, 'setpriv', '--pdeathsig', 'TERM', "$build/leatd", '--config', "$self->{dir}/leat.conf", @options)
            or POSIX::_exit(127);
    }
    push @{ $self->{pids} }, $pid;
    return $pid;
}

sub running {
    my ($self, $pid) = @_;
    return 0 if exists $self->{ended}{$pid};
    return 1 if waitpid($pid, WNOHANG) == 0;
    $self->{ended}{$pid} = $?;
    return 0;
}

# Waits for the end of a runner; its wait status (exit status * 256, or the signal), or undef.
sub ended {
    my ($self, $pid, $seconds) = @_;
    wait_until { !$self->running($pid) } $seconds // 30 or return;
    return $self->{ended}{$pid};
}

# Runs all that is due, to the end. Gives the exit status.
sub once {
    my ($self, @options) = @_;
    my $status = $self->ended($self->start('--once', @options)) // croak 'leatd --once does not end';
    return $status >> 8;
}

# Stops a runner (SIGTERM) and gives its wait status.
sub stop {
    my ($self, $pid) = @_;
    kill TERM => $pid;
    return $self->ended($pid);
}

# ---- leat.fcgi ------------------------------------------------------------------------------------

# One request to leat.fcgi as a web server makes it that knows plain CGI only, with more environment and a
# command before it if given: cgi(METHOD, URI, BODY, env => {..}, by => [..]). Gives {status, head, body}, the
# status 0 if there is no answer, and `ended`, its wait status.
sub cgi {
    my ($self, $method, $uri, $body, %opt) = @_;
    my $input = "$self->{dir}/cgi-$$.in";
    spew($input, $body // '');
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  $input                   or die;
        open STDERR, '>>', "$self->{dir}/api.log" or die;
        my ($path, $query) = split /\?/, $uri;
        %ENV = (
            PATH              => $ENV{PATH},
            GATEWAY_INTERFACE => 'CGI/1.1',
            REQUEST_METHOD    => $method,
            REQUEST_URI       => $uri,
            SCRIPT_NAME       => $path,
            QUERY_STRING      => $query // '',
            CONTENT_LENGTH    => length($body // ''),
            REMOTE_ADDR       => '127.0.0.1',
            LEAT_AUTH_ANONYMOUS => 'alice',
            %{ $opt{env} // {} },
        );
        exec @{ $opt{by} // [] }, "$build/leat.fcgi", '--config', "$self->{dir}/leat.conf" or POSIX::_exit(127);
    }
    my ($head, $text) = split /\r\n\r\n/, do { local $/; readline($out) // '' }, 2;
    close $out;
    return {status => ($head // '') =~ /^Status: (\d+)/m ? $1 : 0, head => $head // '', body => $text // '', ended => $?};
}

# ---- the database -------------------------------------------------------------------------------

# Runs statements; the rows of the last one as hashes.
sub sql {
    my ($self, $text) = @_;
    my $file = "$self->{dir}/sql-$$";
    spew($file, ".bail on\n.timeout 10000\n.mode json\n$text\n");
    my $out = `sqlite3 $self->{db} <$file 2>&1`;
    croak "$text: $out" if $?;
    return @{ $json->decode($out eq '' ? '[]' : $out) };
}

# As a program would after its commit: wakes the runners up.
sub ring {
    my ($self) = @_;
    open my $bell, '+<', "$self->{db}.bell" or croak "$self->{db}.bell: $!";
    syswrite $bell, '!';
}

sub quote {
    my ($text) = @_;
    return 'NULL' unless defined $text;
    $text =~ s/'/''/g;
    return "'$text'";
}

# task(TYPE, input => BYTES, content_type, owner, group, priority, max_attempts, timeout (ms), now, run_at
# (ms)): a pending task; gives its id.
sub task {
    my ($self, $type, %opt) = @_;
    my $id  = sprintf '%08x-0000-7000-8000-%012x', time, ++$self->{tasks};
    my $now = $opt{now} // int(time * 1000);
    my ($owner, $group, $type_sql) = map { quote($_) } $opt{owner} // 'alice', $opt{group}, $type;
    my ($priority, $attempts) = ($opt{priority} // 0, $opt{max_attempts} // 1);
    my ($timeout,  $run_at)   = map { $_ // 'NULL' } @opt{qw(timeout run_at)};
    my $input = '';
    if (defined $opt{input}) {
        spew("$self->{dir}/input", $opt{input});
        my $content_type = quote($opt{content_type} // 'text/plain');
        $input = "INSERT INTO inputs VALUES (last_insert_rowid(), $content_type,"
            . " CAST(readfile('$self->{dir}/input') AS BLOB));";
    }
    $self->sql(<<SQL);
BEGIN IMMEDIATE;
INSERT INTO tasks (id, owner, type, group_id, request_id, priority, max_attempts, timeout_ms, run_at,
                   created_at, updated_at)
VALUES ('$id', $owner, $type_sql, $group, 'request-1', $priority, $attempts, $timeout, $run_at, $now, $now);
$input
COMMIT;
SQL
    $self->ring;
    return $id;
}

sub cancel {
    my ($self, $id) = @_;
    $self->sql("UPDATE tasks SET cancel_requested = 1 WHERE id = '$id';");
    $self->ring;
}

# The row of a task, with its result's type, inline value and url.
sub row {
    my ($self, $id) = @_;
    my ($row) = $self->sql("SELECT t.*, r.content_type, r.inline, r.url, length(r.body) AS bytes"
            . " FROM tasks t LEFT JOIN results r ON r.task = t.n WHERE t.id = '$id';");
    return $row;
}

sub status { return $_[0]->row($_[1])->{status} }

# Waits for one of some statuses; the row, or undef.
sub reaches {
    my ($self, $id, $statuses, $seconds) = @_;
    return wait_until {
        my $row = $self->row($id);
        $row->{status} =~ /^(?:$statuses)$/ && $row;
    } $seconds;
}

sub finished { return $_[0]->reaches($_[1], 'completed|failed|timeout|cancelled', $_[2]) }

# The exact bytes of the result, undef: none.
sub result {
    my ($self, $id) = @_;
    my $file = "$self->{dir}/result";
    my ($row) = $self->sql("SELECT writefile('$file', r.body) AS n FROM results r JOIN tasks t ON t.n = r.task"
            . " WHERE t.id = '$id';");
    return $row ? slurp($file) : undef;
}

# The events of a task, of one type if given: {type, task_seq, ts, payload}.
sub events {
    my ($self, $id, $type) = @_;
    my @rows = $self->sql("SELECT type, task_seq, ts, payload FROM events WHERE task_id = '$id' ORDER BY seq;");
    $_->{payload} = JSON::PP->new->decode($_->{payload}) for @rows;
    return grep { !defined $type || $_->{type} eq $type } @rows;
}

# The log lines of a task, "level: message".
sub logged {
    my ($self, $id) = @_;
    return map { "$_->{payload}{level}: $_->{payload}{message}" } $self->events($id, 'log.append');
}

# The path that a task's status took: "pending running completed".
sub path {
    my ($self, $id) = @_;
    return join ' ', 'pending', map { $_->{payload}{to} } $self->events($id, 'task.status_changed');
}

# Fails unless every task's events are numbered 1, 2, 3, ... without a gap.
sub gapless {
    my ($self) = @_;
    my ($row) = $self->sql('SELECT count(*) AS n FROM (SELECT task FROM events WHERE task IS NOT NULL'
            . ' GROUP BY task HAVING count(*) <> max(task_seq) OR min(task_seq) <> 1'
            . ' OR count(DISTINCT task_seq) <> count(*));');
    return Test::More::is($row->{n}, 0, 'no task has a gap in its events');
}

# ---- the end ------------------------------------------------------------------------------------

# Living processes that carry the folder in their environment, command or working folder.
sub members {
    my ($self) = @_;
    my @pids;
    for my $proc (glob '/proc/[0-9]*') {
        my ($pid) = $proc =~ /(\d+)$/;
        next if $pid == $$;
        my $about = slurp("$proc/environ") . slurp("$proc/cmdline") . (readlink("$proc/cwd") // '');
        next unless $about =~ /\Q$self->{dir}\E/;
        next if slurp("$proc/stat") =~ /^\d+ \(.*\) Z /s;
        push @pids, $pid;
    }
    return @pids;
}

# Ends whatever still runs. Gives what should not have been running, a line each.
sub finish {
    my ($self) = @_;
    delete $all{ $self->{dir} } or return;
    my @wrong;
    for my $pid (grep { $self->running($_) } @{ $self->{pids} }) {
        kill CONT => $pid;
        $self->stop($pid) // push @wrong, "leatd $pid does not stop";
        kill KILL => $pid;
    }
    wait_until { !$self->members } 5;
    for my $pid ($self->members) {
        push @wrong, "process $pid is left: " . join ' ', split /\0/, slurp("/proc/$pid/cmdline");
        kill KILL => $pid;
    }
    my $log = $self->log;
    push @wrong, "sanitizer: $1" if $log =~ /^(.*(?:Sanitizer|runtime error:).*)$/m;
    push @wrong, "log: $1"       if $log =~ /^(.*a statement is left open.*)$/m;
    remove_tree($self->{dir});
    return @wrong;
}

END {
    my $status = $?;
    for my $self (values %all) {
        my $log = $self->log;
        for ($self->finish) {
            Test::More::diag($_);
            $status ||= 1;
        }
        Test::More::diag($log) if $status && $ENV{VERBOSE};
    }
    $? = $status;
}

1;
