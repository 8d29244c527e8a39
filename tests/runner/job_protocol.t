#!/usr/bin/perl
# What a job says: descriptor 3, $LEAT_EVENTS and standard error.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use List::Util qw(min);
use Encode ();
use Test::More;

my $l = Leatd->new(conf => "[runner]\nworkers = 8\n");
$l->job(speaks => <<'EOS');
#!/bin/sh
echo '10 Reading' >&3
echo '{"type":"doc.created","payload":{"name":"a\"b","n":[1,null]}}' >&3
echo '{"type":"doc.created"}' >&3
echo '{"log":"careful","level":"warn"}' >&3
echo 'plain' >&2
EOS
$l->job(grandchild => <<'EOS');
#!/bin/sh
exec 3>&-
sh -c 'echo "{\"type\":\"doc.created\",\"payload\":{\"from\":\"grandchild\"}}" >"$LEAT_EVENTS"'
sh -c 'echo "60 by name" >"$LEAT_EVENTS"'
EOS
$l->job(levels => "#!/bin/sh\nprintf '<%d>level\\n' 0 1 2 3 4 5 6 7 8 >&2\nprintf 'no newline' >&2\n");
$l->job(wrong => <<'EOS');
#!/bin/sh
echo 'half done' >&3
echo '{"progress":"40"}' >&3
echo '{"type":"task.done"}' >&3
echo '{"progress":4' >&3
printf '%0300d x\n' 0 | sed 's/^0/y/' >&3
printf 'not text \377\n' >&3
echo '{"log":3}' >&3
echo '{"context":{"a":1}}' >&3
echo '41 still here' >&3
EOS
$l->job(often => <<'EOS');
#!/usr/bin/perl
use Time::HiRes qw(sleep time);
open my $out, '>&=3' or die;
$| = 1;
my $end = time + 1.2;
for (my $i = 0; time < $end; $i++) {
    syswrite $out, sprintf "{\"progress\":%.2f,\"message\":\"step %d\"}\n", 90 * (1 - ($end - time) / 1.2), $i;
    syswrite $out, "{\"phase\":\"late\"}\n" if $i == 50;
    sleep 0.002;
}
syswrite $out, "99 last\n";
EOS
$l->job(flood => "#!/usr/bin/perl\nprint STDERR \"line \$_\\n\" for 1 .. 5000;\nprint 'ok';\n");
$l->job(both => <<'EOS');
#!/usr/bin/perl
open my $out, '>&=3' or die;
syswrite $out, "{\"type\":\"n.n\",\"payload\":{\"i\":$_}}\n" for 1 .. 3000;
EOS
$l->job(long => <<'EOS');
#!/usr/bin/perl
print STDERR 'x' x 64511, "\xc3\xa9 and more", "\n", "after\n";
print STDERR 'z' x 1000000;
open my $out, '>&=3' or die;
syswrite $out, '{"log":"' . 'y' x 100000 . "\"}\n";
syswrite $out, "50 after\n";
EOS
$l->job(held => "#!/bin/sh\necho 1 >&3\necho 2 >&3\necho '3 newest' >&3\n");
$l->job(binary => "#!/bin/sh\nprintf 'a\\000b\\377c\\n' >&2\n");

my %t = map { $_ => $l->task($_) } qw(speaks grandchild levels wrong often flood both long held binary);
is $l->once, 0, 'all run to their end';
is join(' ', grep { $l->status($t{$_}) ne 'completed' } sort keys %t), '', '... and complete';

my @said = map { [$_->{type}, $_->{payload}] } $l->events($t{speaks});
is_deeply [map { $_->[0] } @said[2 .. $#said]],
    [qw(task.progress doc.created doc.created log.append log.append task.status_changed)],
    'each line is an event, in order';
is_deeply [@{ $said[2][1] }{qw(percent message)}], [10, 'Reading'], 'a number and a text are progress';
is_deeply $said[3][1], {name => 'a"b', n => [1, undef]}, 'a payload arrives whole';
is_deeply $said[4][1], {}, 'without one it is empty';
is_deeply [$l->logged($t{speaks})], ['warn: careful', 'info: plain'], 'log lines have a level';

my ($event) = $l->events($t{grandchild}, 'doc.created');
is $event->{payload}{from}, 'grandchild', 'a grandchild may say things by $LEAT_EVENTS';
is_deeply [map { $_->{payload}{message} } $l->events($t{grandchild}, 'task.progress')], ['by name'],
    '... also when descriptor 3 was closed, and one after the other';

is_deeply [$l->logged($t{levels})],
    ['error: level', 'error: level', 'error: level', 'error: level', 'warn: level', 'info: level', 'info: level',
    'debug: level', 'info: <8>level', 'info: no newline'], 'sd-daemon prefixes give the level';
is_deeply [$l->logged($t{binary})], ["info: a\x{fffd}b\x{fffd}c"], 'bytes that are no text are replaced';

my @wrong = $l->logged($t{wrong});
like $wrong[0], qr/^warn: .*neither a percentage nor a JSON object.*: half done$/, 'a malformed line is quoted in a warning';
like $wrong[1], qr/^warn: .*progress is not a number.*: \{"progress":"40"\}$/, '... with the reason';
like $wrong[2], qr/^warn: .*'task.done' may not be said/, '... a reserved type';
like $wrong[3], qr/^warn: .*invalid JSON/, '... broken JSON';
like $wrong[4], qr/: y0{199}\.\.\.$/, '... at most 200 bytes of it';
like $wrong[5], qr/: not text \x{fffd}$/, '... its bytes replaced';
like $wrong[6], qr/^warn: .*log is not a string/, 'what is of the wrong type is refused aloud';
like $wrong[7], qr{^warn: context: }, 'a context outside a group too';
is_deeply [map { @{ $_->{payload} }{qw(percent message)} } $l->events($t{wrong}, 'task.progress')], [41, 'still here'],
    'and the job goes on';

my @progress = $l->events($t{often}, 'task.progress');
cmp_ok scalar @progress, '<=', 15, '600 reports in 1.2 s make at most ten rows a second';
cmp_ok scalar @progress, '>=', 8,  '... and not fewer';
is $progress[0]{payload}{message}, 'step 0', 'the first is written at once';
is_deeply [@{ $progress[-1]{payload} }{qw(percent phase message)}], [99, 'late', 'last'], 'the last always arrives, merged';
is scalar(grep { $progress[$_]{ts} - $progress[$_ - 1]{ts} < 95 } 1 .. $#progress - 1), 0, '... and they keep their distance';
my @order = map { $_->{type} } $l->events($t{often});
is_deeply [@order[-2, -1]], ['task.progress', 'task.status_changed'], 'pending progress is written before the end';
is $l->row($t{often})->{progress}, 100, '... which sets it to 100';
is_deeply [map { $_->{payload}{percent} } $l->events($t{held}, 'task.progress')], [1, 3], 'what was held back comes before the end';

is_deeply [map { $_->{payload}{message} } $l->events($t{flood}, 'log.append')], [map { "line $_" } 1 .. 5000],
    'a flood on stderr is slowed, not dropped';
is_deeply [map { $_->{payload}{i} } $l->events($t{both}, 'n.n')], [1 .. 3000], 'nor are events merged';

my @long = $l->logged($t{long});
like $long[0], qr/^info: x{60411}\[\.\.\.\]x+.*\z/s, 'the middle of an over-long line is cut out';
is length(Encode::encode_utf8($long[0])) <= 64518, 1, '... so that it fits';
like $long[1], qr/^warn: a line on standard error was longer than 64512 bytes: \d+ were cut out of its middle$/, '... and says so';
is $long[2], 'info: after', '... and the next is whole';
my ($z) = grep { $long[$_] =~ /^info: z{60411}\[\.\.\.\]z{4096}$/ } 0 .. $#long;
ok $z, 'a line that never ends is cut too';
like $long[$z + 1], qr/^warn: .*: 935493 were cut out of its middle$/, '... and says so';
ok scalar(grep {/^warn: not understood on descriptor 3 .*: \{"log":"y{192}\.\.\.$/} @long), 'an over-long event is quoted';
is_deeply [map { $_->{payload}{message} } $l->events($t{long}, 'task.progress')], ['after'], '... and the next one counts';

# What a job says is heard when it says it, also at its very beginning, and when nothing else happens. Each job says
# what time it is; the quickest of three counts, as the machine may be busy.
$l->job(tells => <<'EOS');
#!/usr/bin/perl
use Time::HiRes qw(time sleep);
open my $out, '>&=3' or die;
syswrite $out, sprintf qq({"type":"n.now","payload":{"at":%d}}\n), 1000 * time;
syswrite STDERR, "now\n";
syswrite STDOUT, 'x' x 100_000;
syswrite $out, sprintf qq({"type":"n.later","payload":{"at":%d}}\n), 1000 * time;
sleep 1.2;
EOS
my $runner = $l->start;
my %late;
for (1 .. 3) {
    my $id = $l->task('tells');
    $l->finished($id);
    push @{ $late{ $_->{type} } }, $_->{ts} - $_->{payload}{at} for $l->events($id, 'n.now'), $l->events($id, 'n.later');
}
cmp_ok min(@{ $late{'n.now'} }), '<', 500, 'a first line is heard at once';
cmp_ok min(@{ $late{'n.later'} }), '<', 500, '... and a result that fills its pipe is taken at once';
is $l->stop($runner), 0, 'the runner stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
# What is drawn over on a screen, and what only a screen understands.
{
    my $l = Leatd->new;
    $l->job(bar => <<'EOS', "stdout = result\n");
#!/bin/sh
i=0
while [ $i -le 300 ]; do printf '\r\033[32m%d%%\033[0m of it\033[K' $i >&2; i=$((i+1)); sleep 0.002; done
printf '\ndone\r\nno space left' >&2
printf '\r' >&2
sleep 0.3
exit 1
EOS
    my $go = $l->dir . '/go';
    $l->job(live => "#!/bin/sh\necho first; until [ -e $go ]; do sleep 0.02; done; echo '<4>careful'; printf last\n", "stdout = log\n");
    my $runner = $l->start;
    my ($bar, $live) = map { $l->task($_) } qw(bar live);
    ok wait_until { grep { $_ eq 'info: first' } $l->logged($live) }, 'stdout = log: a line is there while the job runs';
    Leatd::spew($go, '');
    is $l->finished($live)->{status}, 'completed', '... which completes';
    is_deeply [$l->logged($live)], ['info: first', 'warn: careful', 'info: last'], '... and all is in its log';
    is $l->row($live)->{bytes}, undef, '... and there is no result';
    my $row = $l->finished($bar);
    my @bar = $l->logged($bar);
    cmp_ok scalar @bar, '<', 150, 'a line that is redrawn 300 times is merged';
    is_deeply [grep { !/^info: (?:\d+% of it|done|no space left)$/ } @bar], [], '... without what only a terminal understands' or diag "@bar";
    is_deeply [@bar[-3 .. -1]], ['info: 300% of it', 'info: done', 'info: no space left'], '... the last always arrives';
    like $row->{error_message}, qr/no space left$/, 'the reason may stand before a carriage return';
    $l->stop($runner);
}
# A context or a checkpoint may be a whole mebibyte; a larger one fails the task instead of being dropped.
{
    my $l = Leatd->new;
    my $perl = "#!/usr/bin/perl\nopen my \$out, '>&=3' or die; \$out->autoflush(1);\n";
    $l->job(whole => $perl . "print \$out '{\"context\":\"' . 'x' x (1048576 - 2) . \"\\\"}\\n\", '{\"checkpoint\":\"' . 'y' x 500000 . \"\\\"}\\n\";\n");
    $l->job("large$_->[0]" => $perl . "print \$out '{\"$_->[0]\":\"' . 'x' x $_->[1] . \"\\\"}\\n\"; sleep 60;\n")
        for [context => 1048575], [checkpoint => 3_000_000];
    $l->job(half => "#!/bin/sh\nfor i in 1 2; do echo '{\"type\":\"doc.read\",\"payload\":\"cut \\ud83d\"}' >&3; done\n");
    my $runner = $l->start;
    my %t = map { $_ => $l->task($_, group => 'g') } qw(whole largecontext largecheckpoint half);
    is $l->finished($t{whole})->{status}, 'completed', 'a context of a mebibyte';
    my ($group) = $l->sql("SELECT length(json) AS n FROM contexts WHERE name = 'g';");
    is $group->{n}, 1048576, '... is saved';
    for my $what (qw(context checkpoint)) {
        my $row = $l->finished($t{"large$what"});
        is "$row->{status} $row->{error_code} $row->{error_retryable}", "failed ${what}_too_large 1", "a larger $what fails the task";
        like $row->{error_message}, qr/the $what .*larger than 1048576 bytes/, '... and names the limit';
    }
    is $l->finished($t{half})->{status}, 'completed', 'half of a surrogate pair';
    is_deeply [map { $_->{payload} } $l->events($t{half}, 'doc.read')], [("cut \x{fffd}") x 2], '... is no reason to lose the event';
    is_deeply [$l->logged($t{half})], ['info: half of a surrogate pair on descriptor 3 became U+FFFD'], '... but to say so, once';
    $l->stop($runner);
}
done_testing;
