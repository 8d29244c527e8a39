# A server of its own for a test, and what is needed to talk to it. Core modules only.
#
#     use Leat;
#     my $l = Leat->start(conf => "[stream]\nheartbeat = 1\n");
#     my $r = $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'a b'});
#     is $r->status, 202;
#     my $s = $l->stream("/api/tasks/$r->{json}{task_id}/events");
#     while (my $frame = $s->next_frame(5)) { ... }
#
# Each server has its own port, process groups and folder, and is gone when the test ends, however
# it ends. A process that outlives its server fails the test.
package Leat;

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Doors;
use Exporter ();
use Fcntl qw(LOCK_EX LOCK_NB);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_until);
our $server = $ENV{SERVER} || 'nginx';

# What another server than nginx makes impossible is skipped: Doors.pm. Tests use this module before Test::More.
sub import {
    my $file = basename($0, '.t');
    if (my $why = Doors::skips($server, $file)) {
        print "1..0 # SKIP $why\n";
        exit 0;
    }
    no warnings qw(redefine prototype);
    my $subtest = \&Test::More::subtest;
    *Test::More::subtest = sub ($&;@) {
        my ($name, @more) = @_;
        my $why = Doors::skips($server, $file, $name);
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        return $why ? Test::More->builder->skip($why, $name) : $subtest->($name, @more);
    } if $server ne 'nginx';
    goto &Exporter::import;
}

my $top   = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{BUILD} || 'build';
$build = "$top/$build" unless $build =~ m{^/};

# Numbers that a double cannot hold come back as strings, digit for digit.
my $json = JSON::PP->new->utf8->allow_nonref->canonical;

my %running;    # servers to stop at the end, by folder
$SIG{$_} ||= sub { exit 1 }
    for qw(INT TERM HUP);

# wait_until { condition } SECONDS: the condition's first true value, or false when time is up.
sub wait_until(&;$) {
    my ($condition, $seconds) = @_;
    my $end = time + ($seconds // 10);
    while (1) {
        my $value = $condition->();
        return $value if $value;
        return        if time > $end;
        sleep 0.02;
    }
}

# ---- the server ----------------------------------------------------------------------------------

# start(conf => TEXT, jobs => FOLDER, ready => SECONDS, processes => N, state => NAME, env => {..}): conf is
# leat.conf text over the defaults of make run; without jobs, a private copy of lib/jobs that job() adds to;
# processes of leat.fcgi, for a test that looks at the one there is; state is the name of the state folder, env
# more for make run, server the web server, which the environment's SERVER names otherwise. Dies with what the server said if it does not come up.
sub start {
    my ($class, %opt) = @_;
    my $dir  = tempdir('leat-XXXXXX', DIR => '/tmp');    # short: it holds sockets
    my $self = bless {
        dir   => $dir,
        state => "$dir/" . ($opt{state} // 'state'),
        env   => $opt{env} // {},
        conf  => "$dir/test.conf",
        jobs  => $opt{jobs} // "$dir/jobs",
        ready => $opt{ready} // 30,
        processes => $opt{processes},
        server => $opt{server} || $server,
        owner => $$,
    }, $class;
    $running{$dir} = $self;
    weaken $running{$dir};
    unless ($opt{jobs}) {
        mkdir $self->{jobs} or croak "$self->{jobs}: $!";
        for my $file (glob "$top/lib/jobs/*") {
            copy($file, $self->{jobs}) or croak "$file: $!";
            chmod +(stat $file)[2] & 07777, $self->{jobs} . '/' . (split m{/}, $file)[-1];
        }
    }
    $self->conf($opt{conf} // '');
    $self->up;
    return $self;
}

# Writes the settings; they count from the next up().
sub conf {
    my ($self, $text) = @_;
    # where a client that left is noticed at a write, there shall be one soon; at the end, so that lines count as they do
    $text .= "\n[stream]\nheartbeat = 1\n" unless $self->{server} eq 'nginx' || $text =~ /^heartbeat =/m;
    write_file($self->{conf}, $text);
}

sub write_file {
    my ($path, $bytes) = @_;
    open my $out, '>:raw', $path or croak "$path: $!";
    print {$out} $bytes or croak "$path: $!";
    close $out or croak "$path: $!";
}

# Below the ports that outgoing connections are given.
sub free_port {
    for (1 .. 200) {
        my $port = 20000 + int rand 12000;
        my $try  = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1);
        return $port if $try;
    }
    croak 'no free port';
}

# Starts the server (again): the same state, and the same port if it can still be had.
sub up {
    my ($self) = @_;
    croak 'already up' if $self->{pid};
    for my $try (1 .. 5) {
        $self->{port} ||= free_port();
        return if $self->try_up;
        my $said = $self->log;
        $self->down;
        croak "no server:\n$said" if $try == 5 || $said !~ /in use by another program/;
        delete $self->{port};
    }
}

sub try_up {
    my ($self) = @_;
    pipe my $read, my $write or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        setpgrp 0, 0;
        %ENV = (
            %ENV,
            BUILD  => $build,
            PORT   => $self->{port},
            STATE  => $self->{state},
            JOBS   => $self->{jobs},
            CONF   => $self->{conf},
            SERVER => $self->{server},
            TESTED_IN => $self->{dir},    # how members() knows whose they are
            defined $self->{processes} ? (LEAT_HTTP_PROCESSES => $self->{processes}) : (),
            %{ $self->{env} },
        );
        open STDIN,  '<',   '/dev/null'           or die;
        open STDOUT, '>&',  $write                or die;
        open STDERR, '>>',  "$self->{dir}/server.log" or die;
        # should the test be killed outright, the server ends too
        exec('setpriv', '--pdeathsig', 'TERM', "$top/nginx/dev/run") or POSIX::_exit(127);
    }
    close $write;
    $self->{pid} = $pid;
    my ($end, $said) = (time + $self->{ready}, '');
    my $select = IO::Select->new($read);
    while ($said !~ m{^ready http://127\.0\.0\.1:$self->{port}/$}m) {
        my $left = $end - time;
        return 0 if $left <= 0 || !$select->can_read($left) || !sysread $read, $said, 4096, length $said;
    }
    $self->{out} = $read;    # open, or a later word of the server would kill it
    return 1;
}

# Ends the server, not its state. Gives what went wrong: nothing, or a line each.
sub down {
    my ($self) = @_;
    return unless $self->{pid};
    my @wrong;
    kill TERM => $self->{pid};
    my $gone = wait_until { waitpid($self->{pid}, WNOHANG) == $self->{pid} } 40;
    if (!$gone) {
        push @wrong, 'the server did not stop';
        kill KILL => $self->{pid};
        waitpid $self->{pid}, 0;
    }
    delete @$self{qw(pid out)};
    wait_until { !$self->members } $gone ? 2 : 0;
    for my $pid ($self->members) {
        push @wrong, "process $pid outlived the server: " . (cmdline($pid) || '?');
        kill KILL => $pid;
    }
    return @wrong;
}

# Ends the server outright, as a power cut would end it. up() follows.
sub crash {
    my ($self) = @_;
    my @all = $self->members;
    kill KILL => $self->{pid}, @all;
    waitpid $self->{pid}, 0;
    delete @$self{qw(pid out)};
    wait_until { !$self->members } 5 or croak 'processes survive SIGKILL';
}

# Ends the server and removes its folder; a failed test if a process was left.
sub stop {
    my ($self) = @_;
    Test::More::fail($_) for $self->finish;
}

sub finish {
    my ($self) = @_;
    return if $self->{owner} != $$ || !delete $running{ $self->{dir} };
    my @wrong = $self->down;
    my $said = $self->log;
    push @wrong, "sanitizer: $1" if $said =~ /^(.*(?:Sanitizer|runtime error:).*)$/m;
    remove_tree($self->{dir}, {safe => 0});
    return @wrong;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    $self->stop if $self->{owner} == $$;
}

END {
    my $status = $?;
    for my $self (grep { defined } values %running) {
        for ($self->finish) {
            Test::More::diag($_);
            $status ||= 1;
        }
    }
    $? = $status;
}

# The processes of this server: those that carry its mark, work in its folder or were started from
# it (a job's environment is not ours).
sub members {
    my ($self) = @_;
    my @pids;
    for my $proc (glob '/proc/[0-9]*') {
        my ($pid) = $proc =~ /(\d+)$/;
        next if $pid == $$;
        my $cwd  = readlink("$proc/cwd") // '';
        my $mark = slurp("$proc/environ");
        next
            unless $mark =~ /(?:^|\0)TESTED_IN=\Q$self->{dir}\E(?:\0|$)/
            || $cwd =~ m{^\Q$self->{dir}\E(?:/|$)}
            || cmdline($pid) =~ m{(?:^| )\Q$self->{dir}\E/};
        next if slurp("$proc/stat") =~ /^\d+ \(.*\) Z /;
        push @pids, $pid;
    }
    return @pids;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or return '';
    local $/;
    return readline($in) // '';
}

sub cmdline { return join ' ', split /\0/, slurp("/proc/$_[0]/cmdline") }

sub url       { return "http://127.0.0.1:$_[0]{port}" }
sub port      { return $_[0]{port} }
sub state     { return $_[0]{state} }
sub jobs      { return $_[0]{jobs} }
sub conf_file { return "$_[0]{state}/leat.conf" }
# The folder of the web server's configuration.
sub site {
    my ($self) = @_;
    my ($family) = $self->{server} =~ /^(\w+)/;
    return "$self->{state}/$family";
}

# What all programs said; a web server that starts leat.fcgi itself keeps what that says in its own log.
sub log {
    my ($self) = @_;
    return ($self->{server} =~ /-/ ? slurp($self->site . '.log') : '') . slurp("$self->{dir}/server.log");
}

# The pids of web (leat.fcgi), runner or server, as the pid file has them; there is none of a leat.fcgi that the web
# server starts.
sub pids {
    my ($self, $name) = @_;
    return grep { cmdline($_) =~ m{/leat\.fcgi$} } $self->members if $name eq 'web' && ($self->{server} // '') =~ /-/;
    return split ' ', slurp("$self->{state}/$name.pid");
}

# Stops the runner with SIGSTOP while it does not have the write lock, and gives its pid.
sub stop_runner {
    my ($self) = @_;
    my ($pid) = $self->pids('runner');
    open my $lock, '<', "$self->{state}/leat.db.lock" or die "leat.db.lock: $!";
    wait_until {
        kill STOP => $pid;
        wait_until { slurp("/proc/$pid/stat") =~ /^\d+ \(leatd\) T /s };
        my $free = flock $lock, LOCK_EX | LOCK_NB;
        kill CONT => $pid unless $free;
        return $free;
    } 30 or die "the runner never lets go of the write lock\n";
    return $pid;
}

# Changes a file of the web server's configuration (leat.conf), as text in $_, and has the server started anew with it.
# Gives what the change gives, and whether it came back.
sub change_site {
    my ($self, $change, $file) = @_;
    my $conf = $self->site . '/' . ($file // 'leat.conf');
    local $_ = slurp($conf);
    my $changed = $change->();
    write_file($conf, $_);
    my ($server) = $self->pids('server');
    kill KILL => $server;
    my $back = wait_until {
        my ($new) = $self->pids('server');
        $new && $new != $server && $self->http(GET => '/api/health')->status == 200
    } 10;
    return ($changed, $back);
}

# Whether an answer of this status is the web server's, because Leat gave none.
sub no_answer {
    my ($self, $status) = @_;
    return scalar grep { $_ == $status } Doors::no_answer($self->{server});
}

# Runs `leat ARG...` on this server's settings. Gives {status, out, err}; OUT without its last newline.
sub leat {
    my ($self, @args) = @_;
    my $tmp = $self->{dir} . '/leat-' . $$ . '-' . ++$self->{requests};
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$tmp.out";
        open STDERR, '>', "$tmp.err";
        exec("$build/leat", '--config', $self->conf_file, @args) or POSIX::_exit(127);
    }
    local $?;
    waitpid $pid, 0;
    my $answer = {status => $? >> 8 || $? & 127, out => slurp("$tmp.out"), err => slurp("$tmp.err")};
    $answer->{out} =~ s/\n\z//;
    unlink "$tmp.out", "$tmp.err";
    return $answer;
}

# Adds a job, and its TYPE.conf if there is something to say in it.
sub job {
    my ($self, $name, $script, $conf) = @_;
    write_file("$self->{jobs}/$name.conf", $conf) if defined $conf;
    write_file("$self->{jobs}/.$name",     $script);
    chmod 0755, "$self->{jobs}/.$name";
    rename "$self->{jobs}/.$name", "$self->{jobs}/$name" or croak "$name: $!";
}

# ---- requests ------------------------------------------------------------------------------------

# http(METHOD, PATH, headers => {..} or [name => value, ..], json => DATA or body => BYTES or
# body_file => PATH, timeout => SECONDS, curl => [OPTION..]). No Content-Type is sent but the one
# given (json has its own). Redirects are not followed.
# Gives status (0: no answer, see error), headers (names in lower case, repeated ones joined), body,
# and json (the body decoded, undef if it is not JSON): as methods and as hash members.
sub http {
    my ($self, $method, $path, %opt) = @_;
    my $tmp = $self->{dir} . '/http-' . $$ . '-' . ++$self->{requests};
    my @headers = ref $opt{headers} eq 'HASH' ? %{ $opt{headers} } : @{ $opt{headers} || [] };
    if (exists $opt{json}) {
        $opt{body} = $json->encode($opt{json});
        unshift @headers, 'Content-Type' => 'application/json'
            unless grep { lc eq 'content-type' } @headers[grep { $_ % 2 == 0 } 0 .. $#headers];
    }
    my %sent = map { lc $headers[$_] => 1 } grep { $_ % 2 == 0 } 0 .. $#headers;
    my @args = (
        qw(curl -q -s -S -g --path-as-is --noproxy * --http1.1 -H Expect:),
        '--max-time', $opt{timeout} // 30,
        '-o', "$tmp.body", '-D', "$tmp.head",
        $method eq 'HEAD' ? '-I' : ('-X', $method),
    );
    while (my ($name, $value) = splice @headers, 0, 2) {
        push @args, '-H', $value eq '' ? "$name;" : "$name: $value";
    }
    # lighttpd takes no POST that says nothing of its length
    push @args, '-H', 'Content-Length: 0'
        if ($self->{server} // $server) eq 'lighttpd' && $method =~ /^(?:POST|PUT)$/ && !defined $opt{body} && !defined $opt{body_file};
    write_file("$tmp.in", $opt{body}), $opt{body_file} = "$tmp.in" if defined $opt{body};
    if (defined $opt{body_file}) {
        push @args, '--data-binary', "\@$opt{body_file}";
        push @args, '-H', 'Content-Type:' unless $sent{'content-type'};
    }
    push @args, @{ $opt{curl} || [] }, $self->url . $path;

    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', "$tmp.err";
        exec(@args) or POSIX::_exit(127);
    }
    {
        local $?;
        waitpid $pid, 0;
    }
    # the last block of headers is the answer's: before it may be a 100 (Continue)
    my ($head) = (split /\r?\n\r?\n/, slurp("$tmp.head"))[-1] // '';
    my $answer = Leat::Answer::parse($head);
    $answer->{body}  = slurp("$tmp.body");
    $answer->{error} = slurp("$tmp.err");
    $answer->{json}  = eval { $json->decode($answer->{body}) };
    unlink map { "$tmp.$_" } qw(head body err in);
    return $answer;
}

# The task when it has this status (or, without one, when it has ended).
sub reaches {
    my ($self, $id, $status) = @_;
    my $task;
    wait_until {
        $task = $self->http(GET => "/api/tasks/$id")->json;
        $status ? $task->{status} eq $status : $task->{status} !~ /^(?:pending|running)$/
    } 30;
    return $task;
}

# cgi(METHOD, URI, BODY, VARIABLE => VALUE..): one request to leat.fcgi as a web server makes it that knows plain CGI
# only, on this server's settings. Gives what http() gives.
sub cgi {
    my ($self, $method, $uri, $body, %variables) = @_;
    write_file("$self->{dir}/cgi.in", $body // '');
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if (!$pid) {
        open STDIN, '<', "$self->{dir}/cgi.in" or POSIX::_exit(127);
        my ($path, $query) = split /\?/, $uri;
        %ENV = (
            GATEWAY_INTERFACE => 'CGI/1.1',
            REQUEST_METHOD    => $method,
            REQUEST_URI       => $uri,
            SCRIPT_NAME       => $path,
            QUERY_STRING      => $query // '',
            CONTENT_LENGTH    => $method eq 'POST' ? length $body : '',
            REMOTE_ADDR       => '127.0.0.1',
            %variables,
        );
        exec("$build/leat.fcgi", '--config', $self->conf_file) or POSIX::_exit(127);
    }
    my ($head, $rest) = split /\r\n\r\n/, do { local $/; readline($out) // '' }, 2;
    {
        local $?;
        close $out;
    }
    my ($status) = ($head // '') =~ /^Status: (.*?)\r?$/m;
    my $answer = Leat::Answer::parse('HTTP/1.1 ' . ($status // '') . "\r\n" . ($head // ''));
    $answer->{body} = $rest // '';
    $answer->{json} = decode($answer->{body});
    return $answer;
}

# stream(PATH, headers => .., method => .., body => ..): opens the connection, reads the headers
# (within `timeout`, 10 s) and leaves the rest to next_frame and its like.
sub stream {
    my ($self, $path, %opt) = @_;
    return Leat::Stream->open($self->{port}, $path, %opt);
}

sub decode { return eval { $json->decode($_[-1]) } }

# Sends these bytes on a connection of its own and gives what comes back, as http() does.
sub talk {
    my ($self, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port) || die "connect: $@";
    local $SIG{PIPE} = 'IGNORE';
    print {$socket} $bytes;
    $socket->flush;
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 20;
    my ($head, $body) = split /\r\n\r\n/, do { local $/; readline($socket) // '' }, 2;
    alarm 0;
    my $answer = Leat::Answer::parse($head);
    $answer->{body} = $body;
    $answer->{json} = decode($body);
    return $answer;
}

# --------------------------------------------------------------------------------------------------
package Leat::Answer;

sub parse {
    my ($head) = @_;
    my ($first, @lines) = split /\r?\n/, $head;
    my %headers;
    for (@lines) {
        my ($name, $value) = /^([^:]+):[ \t]*(.*?)[ \t]*$/ or next;
        $name = lc $name;
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value" : $value;
    }
    my ($status) = ($first // '') =~ m{^HTTP/\S+ (\d+)};
    return bless {status => $status || 0, headers => \%headers}, __PACKAGE__;
}

sub status  { return $_[0]{status} }
sub headers { return $_[0]{headers} }
sub header  { return $_[0]{headers}{ lc $_[1] } }
sub body    { return $_[0]{body} }
sub json    { return $_[0]{json} }
sub error   { return $_[0]{error} }

# --------------------------------------------------------------------------------------------------
package Leat::Stream;

use Carp qw(croak);
use Time::HiRes qw(time);

sub open {
    my ($class, $port, $path, %opt) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10)
        or croak "127.0.0.1:$port: $@";
    my $self = bless {socket => $socket, in => '', text => '', eof => 0}, $class;
    my @headers = ref $opt{headers} eq 'HASH' ? %{ $opt{headers} } : @{ $opt{headers} || [] };
    my %sent = map { lc $headers[$_] => 1 } grep { $_ % 2 == 0 } 0 .. $#headers;
    my $request = ($opt{method} // 'GET') . " $path HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n";
    $request .= "Accept: text/event-stream\r\n" unless $sent{accept};
    $request .= 'Content-Length: ' . length($opt{body}) . "\r\n" if defined $opt{body};
    while (my ($name, $value) = splice @headers, 0, 2) { $request .= "$name: $value\r\n" }
    $request .= "Connection: close\r\n\r\n" . ($opt{body} // '');
    local $SIG{PIPE} = 'IGNORE';
    for (my $at = 0; $at < length $request;) {
        $at += syswrite($socket, $request, length($request) - $at, $at) // croak "write: $!";
    }
    my $end = time + ($opt{timeout} // 10);
    while (index($self->{in}, "\r\n\r\n") < 0) {
        $self->fill($end) or croak "no answer to $path: " . ($self->{eof} ? 'closed' : 'time is up');
    }
    my ($head, $body) = split /\r\n\r\n/, $self->{in}, 2;
    $self->{in}     = $body;
    $self->{answer} = Leat::Answer::parse($head);
    my $headers = $self->{answer}{headers};
    $self->{chunked} = ($headers->{'transfer-encoding'} // '') =~ /chunked/i;
    $self->{left}    = $headers->{'content-length'};
    $self->{left}    = 0 if $self->status =~ /^(?:204|304)$/;
    $self->decode;
    return $self;
}

sub status  { return $_[0]{answer}{status} }
sub headers { return $_[0]{answer}{headers} }
sub header  { return $_[0]{answer}{headers}{ lc $_[1] } }

# The answer is over and all of it was taken. `broken` says that it ended inside a chunk.
sub eof    { return $_[0]{eof} && $_[0]{text} eq '' }
sub broken { return $_[0]{broken} }

sub close {
    my ($self) = @_;
    CORE::close($self->{socket}) if $self->{socket};
    delete $self->{socket};
    $self->{eof} = 1;
}

# Reads what there is, waiting until END. False: nothing came, or the connection is at its end.
sub fill {
    my ($self, $end) = @_;
    my $left = $end - time;
    return 0 if $self->{eof} || !IO::Select->new($self->{socket})->can_read($left > 0 ? $left : 0);
    my $n = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    if (!$n) {
        $self->{eof}    = 1;
        $self->{broken} = 1 if $self->{chunked} || $self->{left};
        return 0;
    }
    $self->decode if $self->{answer};
    return 1;
}

# Takes the body out of its transfer coding: {in} to {text}.
sub decode {
    my ($self) = @_;
    if (!$self->{chunked}) {
        my $take = defined $self->{left} ? substr($self->{in}, 0, $self->{left}, '') : $self->{in};
        $self->{in} = '' unless defined $self->{left};
        $self->{text} .= $take;
        $self->{left} -= length $take if defined $self->{left};
        $self->{eof} = 1 if defined $self->{left} && !$self->{left};
        return;
    }
    while ($self->{in} =~ /\A([0-9a-fA-F]+)[^\r\n]*\r\n/) {
        my ($line, $size) = (length $&, hex $1);
        last if length $self->{in} < $line + $size + 2;
        $self->{text} .= substr $self->{in}, $line, $size;
        substr $self->{in}, 0, $line + $size + 2, '';
        if (!$size) {
            $self->{eof} = 1;
            last;
        }
    }
}

# The next line without its end, or undef: time is up, or there is none (eof).
sub next_line {
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 10);
    while (1) {
        return $1 if $self->{text} =~ s/\A([^\n]*)\n//;
        next if $self->fill($end);
        next if $self->{text} =~ /\n/;
        return undef unless $self->{eof} && $self->{text} ne '';
        my $rest = $self->{text};
        $self->{text} = '';
        return $rest;
    }
}

# The next SSE frame as {id, event, data, json, retry, comment, raw}, each only if it was there; a
# comment is a frame of its own. undef: time is up (what was read stays for the next call), or eof.
# A frame that the end cuts off is given with {cut}.
sub next_frame {
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 10);
    my $frame = delete $self->{frame} || {raw => ''};
    while (1) {
        my $more = $end - time;
        my $line = $self->next_line($more > 0 ? $more : 0);
        if (!defined $line) {
            if ($frame->{raw} ne '') {
                return {%$frame, cut => 1} if $self->{eof};
                $self->{frame} = $frame;
            }
            return undef;
        }
        $line =~ s/\r\z//;
        if ($line eq '') {
            next if $frame->{raw} eq '';
            $frame->{json} = Leat::decode($frame->{data}) if defined $frame->{data};
            return $frame;
        }
        if ($line =~ /^:/) {
            my $comment = {raw => "$line\n", comment => substr $line, 1};
            return $comment if $frame->{raw} eq '';
            $frame->{raw} .= "$line\n";
            $frame->{comment} = substr $line, 1;
            next;
        }
        $frame->{raw} .= "$line\n";
        my ($name, $value) = $line =~ /^([^:]*)(?:: ?(.*))?$/s;
        $value //= '';
        if ($name eq 'data') { $frame->{data} = defined $frame->{data} ? "$frame->{data}\n$value" : $value }
        else                 { $frame->{$name} = $value }
    }
}

# The next frame that carries data (of this type, if given), skipping what comes before it.
sub next_event {
    my ($self, $seconds, $type) = @_;
    my $end = time + ($seconds // 10);
    while (my $frame = $self->next_frame($end - time)) {
        next unless defined $frame->{data};
        return $frame if !defined $type || ref $frame->{json} eq 'HASH' && ($frame->{json}{type} // '') eq $type;
    }
    return undef;
}

# All the events until the end of the stream.
sub rest {
    my ($self, $seconds) = @_;
    my ($end, @frames) = (time + ($seconds // 10));
    while (my $frame = $self->next_event($end - time)) { push @frames, $frame }
    return @frames;
}

# All that is left of the body, as it is.
sub body {
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 10);
    1 while $self->fill($end);
    my $text = $self->{text};
    $self->{text} = '';
    return $text;
}

1;
