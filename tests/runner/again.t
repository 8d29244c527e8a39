#!/usr/bin/perl
# What one attempt saves for the next: checkpoints.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "workers = 4\nlease_seconds = 1\n");
my $dir = $l->dir;
my $count = <<'EOS';
#!/bin/sh
at=0
[ -s "$LEAT_CHECKPOINT_FILE" ] && at=$(sed 's/[^0-9]//g' "$LEAT_CHECKPOINT_FILE")
echo "from $at" >&2
EOS
$l->job(steps => "$count\n"
        . 'for i in 1 2 3; do at=$((at + 1)); echo "{\"checkpoint\":{\"at\":$at}}" >&3; done' . "\n"
        . '[ "$LEAT_ATTEMPT" -ge 3 ] || exit 1' . "\necho \$at\n", "attempts = 3\nbackoff = 0\n");
$l->job(held => "$count\n" . 'echo "{\"checkpoint\":{\"at\":$((at + 1))}}" >&3' . "\n"
        . "echo 1 >&3\n[ \$at -ge 1 ] || while :; do sleep 1; done\necho done\n", "backoff = 0\n");
$l->job(other => "#!/bin/sh\n[ -e \"\$LEAT_CHECKPOINT_FILE\" ] && echo there || echo none\n");
$l->job(large => "#!/usr/bin/perl\nopen my \$o, '>&=', 3 or die;\nif (open my \$in, '<', \$ENV{LEAT_CHECKPOINT_FILE})"
        . " { print length <\$in>; exit }\nprint {\$o} '{\"checkpoint\":{\"x\":\"' . 'y' x 60000 . \"\\\"}}\\n\"; close \$o; exit 1\n",
    "attempts = 2\nbackoff = 0\n");

sub saved { my ($row) = $l->sql('SELECT count(*) AS n FROM checkpoints;'); return $row->{n} }

my $steps = $l->task('steps', max_attempts => 3);
my $other = $l->task('other');
my $large = $l->task('large', max_attempts => 2);
is $l->once, 0, 'three attempts in one run';
is $l->status($steps), 'completed', 'the third completes';
is_deeply [$l->logged($steps)], ['info: from 0', 'info: from 3', 'info: from 6'], 'each begins where the one before it was';
is $l->result($steps), "9\n", '... with the newest that was saved';
is $l->result($other), "none\n", 'no other task sees it';
is $l->result($large), 60008, 'a line that fits is a checkpoint that fits';
is saved(), 0, 'a task that completed has none any more';
is scalar(grep { $_->{type} =~ /checkpoint/ } $l->events($steps)), 0, 'it is no event';

# the runner is killed
my $held = $l->task('held');
my $pid  = $l->start;
ok wait_until { $l->row($held)->{progress} == 1 && saved() == 1 }, 'a job saves and goes on';
kill KILL => $pid;
$l->ended($pid);
$pid = $l->start;
is $l->finished($held)->{status}, 'completed', 'another runner has it run again';
is_deeply [$l->logged($held)], ['info: from 0', 'info: from 1'], '... from where it was';

# a failed task keeps it for an explicit retry, a deleted one does not
$l->job(fails => "$count\n" . 'echo "{\"checkpoint\":{\"at\":7}}" >&3' . "\n[ \$at = 7 ]\n");
my $fails = $l->task('fails');
is $l->finished($fails)->{status}, 'failed', 'a task fails';
is saved(), 1, '... and keeps what it saved';
$l->sql("UPDATE tasks SET status = 'pending', max_attempts = attempt + 1 WHERE id = '$fails';");
$l->ring;
is $l->finished($fails)->{status}, 'completed', 'tried again it goes on from there';
my $gone = $l->task('fails');
is $l->finished($gone)->{status}, 'failed', 'another one fails';
$l->sql("DELETE FROM tasks WHERE id = '$gone';");
is saved(), 0, 'a deleted task leaves nothing';

# both may be any JSON: a chat is a list
$l->job(listed => <<'EOS', "backoff = 0.01\n");
#!/bin/sh
cat "$LEAT_CONTEXT_FILE"
cat "$LEAT_CHECKPOINT_FILE" 2>/dev/null
echo '{"checkpoint":[1,2.50]}' >&3
echo '{"context":[{"role":"user","content":"hi"}]}' >&3
[ "$LEAT_ATTEMPT" = 2 ]
EOS
my @chat = ($l->task('listed', group => 'chat', max_attempts => 2));
is $l->finished($chat[0])->{status}, 'completed', 'a checkpoint and a context that are lists';
is $l->result($chat[0]), 'null[1,2.50]', '... the next attempt has the one';
push @chat, $l->task('listed', group => 'chat', max_attempts => 2);
is $l->finished($chat[1])->{status}, 'completed', '... and the next task';
is $l->result($chat[1]), '[{"role":"user","content":"hi"}][1,2.50]', '... the other';
is $l->stop($pid), 0, 'the runner stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
