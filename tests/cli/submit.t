# leat submit, wait, watch off a terminal: what stands on which stream, and the exit status.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cli;
use Test::More;

my $s = Cli->new;
$s->job(cat   => "#!/bin/sh\nexec cat\n");
$s->job(steps => <<'SH');
#!/bin/sh
echo 'reading' >&2
echo '25 Reading' >&3
echo '{"progress":75,"phase":"write","message":"half a page"}' >&3
echo '{"type":"doc.created","payload":{"n":1}}' >&3
printf 'the result, without a line break'
SH
$s->job(exits => "#!/bin/sh\nread n\necho \"giving up with \$n\" >&2\nexit \$n\n");
$s->job(dies  => "#!/bin/sh\nkill -9 \$\$\n");
$s->job(slow  => "#!/bin/sh\nexec sleep 60\n", "kill_grace = 0\n");
$s->job(env   => "#!/bin/sh\necho \"\$LEAT_OWNER \$LEAT_GROUP \$LEAT_CONTENT_TYPE \$LEAT_MAX_ATTEMPTS\"\n", "attempts = 3\n");
$s->start;

my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/;

subtest 'submit prints the id alone' => sub {
    my $r = $s->leat(qw(submit cat --input), 'one two');
    is_deeply [@$r{qw(status err)}], [0, ''], 'says nothing else';
    like $r->{out}, qr/\A$uuid\n\z/, 'the id';
    chomp(my $id = $r->{out});
    is $s->leat('wait', $id)->{status}, 0, 'wait: 0 when it has completed';
    is $s->result($id), 'one two', 'it read its input';
    my $document = decode($s->leat(qw(submit cat --json))->{out});
    is $document->{status}, 'pending', '--json: the document';
};

subtest 'input' => sub {
    my $bytes = join '', map { chr } 0 .. 255;
    my $file = $s->dir . '/photo.jpg';
    Leatd::spew($file, $bytes x 1000);
    my $id = $s->submit('cat', '--input-file', $file);
    $s->leat('wait', $id);
    is $s->result($id), $bytes x 1000, 'a file, byte for byte';
    my $r = $s->leat({in => $bytes}, qw(submit cat --input-file -));
    chomp($id = $r->{out});
    $s->leat('wait', $id);
    is $s->result($id), $bytes, 'standard input';
    $r = $s->leat(qw(submit cat --input-file /nowhere/x));
    is $r->{status}, 66, 'a file that is not there: EX_NOINPUT';
    like $r->{err}, qr{/nowhere/x: No such file}, '... named';
    Leatd::spew($s->dir . '/big', 'x' x 2000);
    $r = $s->leat({env => {LEAT_HTTP_MAX_RAW_BYTES => 1000}}, qw(submit cat --input-file big));
    is $r->{status}, 65, 'one that is too large: EX_DATAERR';
    like $r->{err}, qr/max_raw_bytes/, '... names the setting';
};

subtest 'fields' => sub {
    my $r = $s->leat(qw(submit env --owner alice --group g/1 --max-attempts 2 --priority 5 --timeout 30 --input x --watch));
    like $r->{out}, qr{^alice g/1 text/plain; charset=utf-8 2$}m, 'reach the job';
    my ($id) = $r->{out} =~ /($uuid)/;
    my $t = $s->document($id);
    is_deeply [@$t{qw(owner group_id priority max_attempts)}], ['alice', 'g/1', 5, 2], 'and the task';
    $t = $s->document($s->submit(qw(cat --delay 3600)));
    cmp_ok abs($t->{run_at} - $t->{created_at} - 3_600_000), '<', 5000, '--delay';
    my @ids = map { $s->submit(qw(cat --unique only --delay 3600)) } 1, 2;
    is $ids[0], $ids[1], '--unique joins';
    is $t->{owner}, scalar(getpwuid $>), 'the owner is who is logged in';
    is $s->document($s->leat({env => {LEAT_AUTH_ANONYMOUS => 'site'}}, 'submit', 'cat')->{out} =~ s/\n//r)->{owner},
        'site', '... or [auth] anonymous, where that is set';
};

subtest 'what is wrong is said, with what to do' => sub {
    my @rows = (
        [65, qr/^leat: nosuch: there is no such type; leat types lists them$/, qw(submit nosuch)],
        [65, qr/no such type/, 'submit', '../cat'],
        [64, qr/^leat: the TYPE of the task is expected/, 'submit'],
        [64, qr/^leat: --priority: not a whole number from -100 to 100$/m, qw(submit cat --priority 101)],
        [64, qr/^leat: --delay: not a number/m, qw(submit cat --delay soon)],
        [64, qr/^leat: --group: /m, qw(submit cat --group -)],
        [64, qr/^leat: --unique: /m, qw(submit cat --unique), ''],
        [64, qr/^leat: --owner: /m, qw(submit cat --owner), ''],
        [64, qr/^leat: --input: not together/m, qw(submit cat --input x --input-file y)],
        [64, qr/^leat: 'more' is not expected/m, qw(submit cat more)],
        [64, qr/^leat: the ID of a task is expected/m, 'wait'],
        [65, qr/^leat: 12345678: there is no such task; leat list shows them$/, qw(wait 12345678)],
        [65, qr/^leat: 1234567: too short/, qw(watch 1234567)],
        [65, qr/^leat: x: not an id/, qw(show x)],
        [65, qr/^leat: \S+: there is no such task/, 'show', '01a21bd5-1f02-74b1-9571-0843b555b34d'],
    );
    for (@rows) {
        my ($status, $says, @args) = @$_;
        my $r = $s->leat(@args);
        is $r->{status}, $status, "leat @args: $status";
        like $r->{err}, $says, '... says why';
        is $r->{out}, '', '... on standard error';
    }
    unlike $s->leat(qw(submit cat --priority x))->{err}, qr/^.{81}/m, 'the usage fits 80 columns';
    my $r = $s->leat({env => {LEAT_RUNNER_JOBS => ''}}, qw(submit cat));
    is $r->{status}, 78, 'no jobs folder: EX_CONFIG';
    $r = $s->leat({env => {LEAT_LIMITS_QUEUED_PER_OWNER => 1, LEAT_LIMITS_DELAYED_PER_OWNER => 1}}, qw(submit cat --delay 9 --owner full));
    is $r->{status}, 0, 'below a limit';
    $r = $s->leat({env => {LEAT_LIMITS_DELAYED_PER_OWNER => 1}}, qw(submit cat --delay 9 --owner full));
    is $r->{status}, 75, 'a limit: EX_TEMPFAIL';
    like $r->{err}, qr/delayed_per_owner.*; try again in \d+ s/, '... says when';
};

subtest 'off a terminal --watch is lines, and the result last' => sub {
    my $r = $s->leat(qw(submit steps --watch));
    is_deeply [@$r{qw(status err)}], [0, ''], 'completed: 0, nothing on standard error';
    like $r->{out}, qr/\A$uuid\npending\nrunning\n/, 'begins with the id';
    like $r->{out}, qr/^reading$/m, 'log lines as they are';
    like $r->{out}, qr/^ 75% write: half a page$/m, 'progress';
    like $r->{out}, qr/^doc\.created \{"n":1\}$/m, 'events';
    like $r->{out}, qr/^completed\nthe result, without a line break\z/m, 'the result, byte for byte, at the end';
    my ($id) = $r->{out} =~ /($uuid)/;
    my $again = $s->leat('watch', substr $id, -8);
    is "$id\n$again->{out}", $r->{out}, 'watch by the end of an id says the same afterwards';
    my @events = map { decode($_) } split /\n/, $s->leat('watch', '--json', $id)->{out};
    is_deeply [map { $_->{task_seq} } @events], [1 .. @events], '--json: every event';
    is_deeply [map { $_->{task_id} } @events], [($id) x @events], '... as an envelope';
};

subtest 'the exit status is the job\'s' => sub {
    my $r = $s->leat(qw(submit exits --input 7 --watch));
    is $r->{status}, 7, 'its own';
    like $r->{out}, qr/^failed: exit status 7: giving up with 7$/m, '... in words';
    is $s->leat(qw(submit dies --watch))->{status}, 137, '128 and the signal';
    is $s->leat(qw(submit slow --timeout 0.2 --watch))->{status}, 124, '124 after a timeout';
    my $gone = $s->submit('slow', '--delay', 3600);
    is $s->leat('cancel', $gone)->{status}, 0, 'cancel';
    is $s->leat('wait', $gone)->{status}, 130, '130 when it was cancelled';
    my @ids = ($s->submit('cat'), $s->submit(qw(exits --input 9)), $s->submit(qw(exits --input 3)));
    $r = $s->leat('wait', @ids);
    is $r->{status}, 9, 'of several the first that is not 0';
    like $r->{err}, qr/^leat: $ids[1]: failed: exit status 9: giving up with 9\nleat: $ids[2]: /, 'wait says what went wrong';
    is $r->{out}, '', '... on standard error alone';
    my $documents = decode($s->leat('wait', '--json', @ids)->{out});
    is_deeply [map { $_->{id} } @{ $documents->{tasks} }], \@ids, 'wait --json: their documents';
    $r = $s->leat('watch', @ids);
    is $r->{status}, 9, 'watch, too';
    like $r->{out}, qr/^@{[substr $ids[2], -12]} failed: exit status 3/m, '... each line with its task';
    $s->job(broken => "#!/nowhere/sh\n");
    is $s->leat(qw(submit broken --watch))->{status}, 70, '70 else';
};

subtest 'Ctrl-C leaves, and says how to come back' => sub {
    my $p = $s->begin(qw(submit slow --watch));
    ok wait_until { $s->out_of($p) =~ /^running$/m }, 'it runs';
    my ($id) = $s->out_of($p) =~ /($uuid)/;
    kill INT => $p->{pid};
    my $r = $s->end($p);
    is $r->{status}, 130, 'its exit status';
    like $r->{out}, qr/^leat: detached: .*\n +leat watch $id$/m, 'says how to come back';
    is $s->status($id), 'running', 'the task goes on';

    $p = $s->begin('watch', $id);
    ok wait_until { $s->out_of($p) =~ /^running$/m }, 'come back';
    kill INT => $p->{pid};
    ok wait_until { $s->out_of($p) =~ /detached/ }, 'once';
    kill INT => $p->{pid};
    $r = $s->end($p);
    is $r->{status}, 130, 'twice: 130';
    like $r->{out}, qr/^cancelled$/m, '... and it is cancelled';
    is $s->status($id), 'cancelled', '... indeed';

    $id = $s->submit('slow');
    $p = $s->begin('wait', $id);
    $s->reaches($id, 'running');
    ok $s->catches($p), 'it waits';
    kill TERM => $p->{pid};
    is $s->end($p)->{status}, 130, 'SIGTERM leaves at once';
    is $s->status($id), 'running', '... the task alone';
    $s->leat('cancel', $id);
};

subtest 'a reader holds nobody up' => sub {
    my $id = $s->submit(qw(slow));
    my $p = $s->begin('wait', $id);
    $s->reaches($id, 'running');
    ok $s->catches($p), 'it waits';
    my ($row) = $s->sql('PRAGMA wal_checkpoint(TRUNCATE);');
    is $row->{busy}, 0, 'the log can be cut while somebody waits: no snapshot is held';
    $s->leat('cancel', $id);
    is $s->end($p)->{status}, 130, 'and the bell is heard';
};

done_testing;
