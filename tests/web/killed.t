#!/usr/bin/perl
# Clients create, publish and cancel as fast as they can and watchers follow, while any of the processes is
# killed with SIGKILL at random moments: what was acknowledged is there, what was said not to be written is
# not, and no watcher misses an event or sees one twice. KILLS (60) of them.
use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use Leat;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $kills   = $ENV{KILLS} || 60;
my $writers = 6;
my $l       = Leat->start(conf => "[limits]\nqueued_per_owner = 0\n[http]\nprocesses = 3\n");
my $dir     = $l->state;
$l->job(nothing => "#!/bin/sh\nexit 0\n");

# Runs CODE in a process that is told to stop by SIGTERM; what it gives is written to FILE, a line each.
my %children;
sub child {
    my ($name, $code) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid) { $children{$name} = $pid; return }
    my $stop = 0;
    local $SIG{TERM} = sub { $stop = 1 };
    local $SIG{PIPE} = 'IGNORE';
    open my $out, '>', "$dir/$name.said" or die;
    $out->autoflush(1);
    eval { $code->(sub { $stop }, sub { print {$out} "@_\n" }); 1 } or print {$out} "died $@";
    close $out;
    exec 'true';    # past END: the server is not ours
}

# One request on a kept connection; gives status and body, status 0 when no answer came.
my $socket;
sub ask {
    my ($path, $body) = @_;
    $socket ||= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) or return (-1, '');
    my $request = "POST $path HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    my $in = '';
    syswrite $socket, $request;
    my $select = IO::Select->new($socket);
    while ($select->can_read(30) && sysread $socket, $in, 65536, length $in) {
        my ($head, $rest) = split /\r\n\r\n/, $in, 2;
        next unless defined $rest;
        my ($status) = $head =~ m{^HTTP/1.1 (\d+)};
        my $whole = $head =~ /\nContent-Length: (\d+)/i ? length $rest >= $1 : $rest =~ /0\r\n\r\n$/;
        next unless $whole;
        undef $socket if $head =~ /\nConnection: close/i;
        return ($status, $rest);
    }
    undef $socket;
    return (0, $in);
}

# What an answer says of the mark that was to be written: it is, it is not, or nobody knows.
sub verdict {
    my ($status, $body) = @_;
    return 'written' if $status == 202;
    return 'not' if $status == -1 || $status == 429 || ($status == 503 && $body =~ /nothing was written/);
    return 'unknown' if $status == 0 || ($status == 500 && $body =~ /"outcome_unknown"/);
    return "odd-$status";
}

sub writer {
    my ($w) = @_;
    return sub {
        my ($stop, $say) = @_;
        for (my $i = 0; !$stop->(); $i++) {
            my @published = ask('/api/groups/k/events', qq({"type":"k.mark","payload":{"m":"e-$w-$i"}}));
            $say->(verdict(@published), "e-$w-$i");
            my @created = ask('/api/tasks', qq({"type":"nothing","group":"t","input":"t-$w-$i"}));
            $say->(verdict(@created), "t-$w-$i");
            ask("/api/tasks/$1/cancel", '') if $i % 3 == 0 && $created[1] =~ /"task_id":"([^"]+)"/;
            sleep 0.02 if $published[0] <= 0;
        }
    };
}

# Follows the group, and says each mark that it sees.
sub watcher {
    my ($stop, $say) = @_;
    my $last = 'earliest';
    until ($stop->()) {
        my $s = eval { $l->stream('/api/groups/k/events', timeout => 5, headers => {'Last-Event-ID' => $last}) };
        sleep(0.05), next unless $s && $s->status == 200;
        while (my $frame = $s->next_frame(2)) {
            last if $frame->{cut} || $stop->();
            my $e = $frame->{json} // next;
            $say->("reset $frame->{raw}") if $e->{type} eq 'stream.reset';
            $last = $frame->{id} if defined $frame->{id};
            $say->("saw $e->{payload}{m}") if $e->{type} eq 'k.mark';
        }
        $s->close;
    }
}

child("writer-$_",  writer($_)) for 1 .. $writers;
child("watcher-$_", \&watcher)  for 1 .. 3;

my $killed = 0;
my $end    = time + 30 + 3 * $kills;
while ($killed < $kills && time < $end) {
    sleep 0.05 + rand 0.25;
    my @victims = ($l->pids('web'), $l->pids('web'), $l->pids('runner'), $l->pids('server'));
    $killed += kill KILL => $victims[ rand @victims ] if @victims;
}
ok $killed >= $kills, "$killed processes were killed";
my $back = wait_until { $l->http(GET => '/api/health')->status == 200 } 60;
ok $back, 'the site is back';

kill TERM => $children{"writer-$_"} for 1 .. $writers;
waitpid $children{"writer-$_"}, 0 for 1 .. $writers;

# ---- what was said against what there is

my (%said, %odd);
for my $w (1 .. $writers) {
    for (split /\n/, Leat::slurp("$dir/writer-$w.said")) {
        my ($verdict, $mark) = split / /, $_, 2;
        push @{ $said{$verdict} }, $mark;
        $odd{$_}++ if $verdict !~ /^(?:written|not|unknown)$/;
    }
}
is join(', ', sort keys %odd), '', 'every answer says what has become of the request';
note sprintf '%d written, %d not, %d unknown', map { scalar @{ $said{$_} || [] } } qw(written not unknown);

# Rows of the database, as its own shell reads them.
sub rows {
    my ($sql) = @_;
    open my $in, '-|', 'sqlite3', "$dir/leat.db", $sql or die "sqlite3: $!";
    chomp(my @rows = <$in>);
    return @rows;
}
my %there;
$there{$_}++ for rows("SELECT json_extract(payload, '\$.m') FROM events WHERE type = 'k.mark'"),
    rows("SELECT CAST(i.body AS TEXT) FROM tasks t JOIN inputs i ON i.task = t.n WHERE t.group_id = 't'");

sub first { return join ' ', @_[0 .. ($#_ < 5 ? $#_ : 5)] }
is first(grep { !$there{$_} } @{ $said{written} }), '', 'what was acknowledged is there';
is first(grep { $there{$_} } @{ $said{not} || [] }), '', 'what was not to be written is not there';
is first(grep { $there{$_} > 1 } keys %there), '', 'and nothing twice';
cmp_ok scalar @{ $said{written} }, '>', 10 * $kills, 'there was some work';

# every watcher has had the time to see the newest mark
my @marks = grep {/^e-/} keys %there;
my ($newest) = rows("SELECT json_extract(payload, '\$.m') FROM events WHERE type = 'k.mark' ORDER BY seq DESC LIMIT 1");
for my $w (1 .. 3) {
    my $seen = wait_until { index(Leat::slurp("$dir/watcher-$w.said"), "saw $newest\n") >= 0 } 60;
    ok $seen, "watcher $w has come to the newest";
}
kill TERM => $children{"watcher-$_"} for 1 .. 3;
waitpid $children{"watcher-$_"}, 0 for 1 .. 3;
for my $w (1 .. 3) {
    my (%saw, @resets);
    for (split /\n/, Leat::slurp("$dir/watcher-$w.said")) {
        $saw{$1}++ if /^saw (.*)/;
        push @resets, $_ if /^reset/;
    }
    is first(grep { !$saw{$_} } @marks), '', "watcher $w missed nothing";
    is first(grep { $saw{$_} > 1 } keys %saw), '', '... saw nothing twice';
    is first(grep { !$there{$_} } keys %saw), '', '... and nothing that is not there';
    is first(@resets), '', '... and was never told to begin again';
}

# every task ends, and its events count without a gap
my $ended = wait_until {
    (rows("SELECT count(*) FROM tasks WHERE status IN ('pending', 'running')"))[0] == 0
} 120;
ok $ended, 'every task comes to its end';
is((rows('SELECT count(*) FROM (SELECT task FROM events WHERE task IS NOT NULL GROUP BY task'
            . ' HAVING count(*) <> max(task_seq) OR min(task_seq) <> 1)'))[0], 0, 'no gap in task_seq');

$l->stop;
done_testing;
