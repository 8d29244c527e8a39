#!/usr/bin/perl
# A client that loses its connection after every few events, a thousand times, while the programs
# that serve it are killed at any moment: it sees each event once.
use strict;
use warnings;
use Leat;
use Test::More;
use Time::HiRes qw(sleep time);

my $reconnects = 1000;
my $events     = 3000;
my $seconds    = 30;     # the job's own time; the test ends sooner if the reconnects are done

my $l = Leat->start(conf => "[runner]\nworkers = 2\n");
$l->job(count => <<"EOT");
#!/usr/bin/perl
use Time::HiRes qw(sleep time);
open my \$out, '>&=', 3 or die; select \$out; \$| = 1;
my \$begin = time;
for (1 .. $events) {
    print qq({"type":"count.up","payload":{"n":\$_}}\\n);
    my \$ahead = \$begin + \$_ * $seconds / $events - time;
    sleep \$ahead if \$ahead > 0;
}
EOT

# Kills one leat.fcgi or all of them with SIGKILL, at random moments, until it is told to stop.
sub start_killing {
    my ($l) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    return ($pid, $read) if $pid;
    my ($stop, $killed) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };
    until ($stop) {
        sleep 0.1 + rand 0.9;
        my @victims = $l->pids('web') or next;
        @victims = $victims[ rand @victims ] if rand() < 0.5;
        $killed += kill KILL => $_ for @victims;
    }
    syswrite $write, $killed;
    exec 'true';    # past END: the server is not ours
}

my $id   = $l->http(POST => '/api/tasks', json => {type => 'count'})->json->{task_id};
my $path = "/api/tasks/$id/events";

my (@seqs, @numbers, %ids, @odd);
my ($last, $opened, $failed, $dropped, $finished) = (undef, 0, 0, 0, 0);

# One connection: takes a few events, at least one, and leaves. False: nothing came of it.
sub visit {
    my ($take) = @_;
    my $s = eval { $l->stream($path, timeout => 5, headers => $last ? {'Last-Event-ID' => $last} : {}) }
        or return 0;
    if ($s->status == 204) { $finished = 1; return 1 }
    return 0 if $l->no_answer($s->status);
    if ($s->status != 200) { push @odd, 'status ' . $s->status; return 0 }
    my $got = 0;
    while ($got < $take) {
        my $frame = $s->next_frame(5) // last;
        last if $frame->{cut};    # an EventSource drops what has no end
        my $e = $frame->{json} // next;
        if ($e->{type} eq 'stream.connected') {
            push @odd, "connected at $frame->{id} instead of $last" if $last && $frame->{id} ne $last;
            next;
        }
        if ($e->{type} eq 'stream.end') {
            $finished = 1 if $e->{payload}{reason} eq 'finished';
            $last = $frame->{id} if defined $frame->{id};
            last;
        }
        if ($e->{type} =~ /^stream\./) { push @odd, $frame->{raw}; last }
        $last = $frame->{id};
        push @odd, "$last twice" if $ids{$last}++;
        push @seqs,    $e->{task_seq};
        push @numbers, $e->{payload}{n} if $e->{type} eq 'count.up';
        $got++;
    }
    $s->close;
    return $got > 0 || $finished;
}

my ($killer, $report) = start_killing($l);
my $end = time + $seconds + 30;
while (!$finished && time < $end) {
    $opened++;
    # on leaving, what is on its way is lost
    visit($dropped < $reconnects ? 1 + int rand 4 : 1e9) ? $dropped++ : ($failed++, sleep 0.02);
}
kill TERM => $killer;
sysread $report, my $killed, 20;
waitpid $killer, 0;

# what came in the meantime of a death
for (1 .. 50) {
    last if $finished;
    visit(1e9) || sleep 0.1;
}

diag "$opened connections, $failed of them failed; $killed processes killed" if @odd || !$finished;
ok $finished, 'the stream came to its end';
is "@odd[0 .. ($#odd < 5 ? $#odd : 5)]", '', 'nothing was told twice, and nothing odd';
cmp_ok $dropped, '>=', $reconnects, "came back $reconnects times";
cmp_ok $killed,  '>=', 20,          'processes were killed meanwhile';
my @wrong = grep { $seqs[$_] != $_ + 1 } 0 .. $#seqs;
is_deeply [map { "place $_: $seqs[$_]" } @wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]], [],
    'task_seq counts 1, 2, 3 ... without a gap';
is scalar @numbers, $events, 'all that the job said';
is $l->http(GET => "/api/tasks/$id")->json->{event_count}, scalar @seqs, 'and all that the task has';

$l->stop;
done_testing;
