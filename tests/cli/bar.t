# The bars of leat submit --watch and leat watch, on terminals of 80 and 40 columns.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use Cli;
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);
my $s = Cli->new;
# goes a step whenever the test says so
$s->job(step => <<'SH');
#!/bin/sh
at=$(cat)
wait_for() { while [ ! -e "$at$1" ]; do sleep 0.05; done; }
wait_for 1
echo '{"progress":25,"phase":"compile"}' >&3
printf '\033[32ma line of its log that is certainly \033[1mlonger than forty columns\n' >&2
wait_for 2
echo '{"progress":75,"phase":"link","message":"almost"}' >&3
printf 'wide \346\227\245\346\234\254 and \033[31mred\n' >&2
wait_for 3
echo 'the result'
SH
$s->job(fails => "#!/bin/sh\necho 'it broke' >&2\nexit 4\n");
$s->start;

sub go { Leatd::spew($s->dir . "/$_[0]$_[1]", '') }

for my $columns (80, 40) {
    subtest "one task, $columns columns" => sub {
        my $at = $s->dir . "/$columns-";
        my $screen = $s->screen($columns, "leat submit step --input $at --watch >out; echo status \$?");
        ok $screen->shows(qr/^\[░+\]   0%.*running/m), 'an empty bar' or diag $screen->text;
        like $screen->text, qr/\A[0-9a-f-]{36}\n/, 'below the id';
        go("$columns-", 1);
        ok $screen->shows(qr/^\[█+░+\]  25%  ETA \d+:\d\d  compile/m), 'bar, percent, time, phase' or diag $screen->text;
        ok $screen->shows(qr/^a line of its log/m), 'the last line of its log below it';
        my ($bar) = $screen->text =~ /^\[(█+░+)\]/m;
        is int(length($bar) / 4), ($bar =~ tr/█//), 'a quarter of it is full';
        go("$columns-", 2);
        ok $screen->shows(qr/^\[█+░+\]  75%  ETA.*\nwide 日本 and red$/m), 'drawn again in its place' or diag $screen->text;
        is scalar(() = $screen->text =~ /^\[/mg), 1, 'one bar';
        go("$columns-", 3);
        is $screen->end, 0, 'it ends';
        like $screen->text, qr/^\[█+\] 100%  completed.*\nstatus 0$/m, 'the bar stays, full';
        is slurp($s->dir . '/out'), "the result\n", 'the result alone is on standard output';
        cmp_ok $screen->widest, '<', $columns, 'no line reaches the last column';
        is $screen->strange, '', 'nothing else was written';
        ok $screen->colours, 'in colours';
        like $screen->raw, qr/and \e\[31mred\e\[0m/, '... those of the line of the log among them';
        my $rest = $columns == 40 ? qr/\e\[1ml[a-z ]*\xe2\x80\xa6/ : qr/\e\[1mlonger than forty columns/;
        like $screen->raw, qr/\e\[32ma line of its log that is certainly $rest\e\[0m/, '... which end with it, also where it is cut';
    };

    subtest "several, $columns columns" => sub {
        my $at  = $s->dir . "/many$columns-";
        my @ids = ($s->submit('step', '--input', $at), $s->submit('fails'), $s->submit('step', '--input', $at));
        my $screen = $s->screen($columns, "leat watch @ids; echo status \$?", NO_COLOR => 1);
        ok $screen->shows(qr/^step .*\[░+\]   0%.*\nfails .*\[░+\]   0%  failed.*\nstep .*\[░+\]   0%/m), 'a line each' or diag $screen->text;
        go("many$columns-", $_) for 1 .. 3;
        is $screen->end, 0, 'it ends';
        like $screen->text, qr/^step .*100%  completed.*\nfails .*failed.*\nstep .*100%  completed.*\nstatus 4$/m, 'each in its place';
        cmp_ok $screen->widest, '<', $columns, 'no line reaches the last column';
        ok !$screen->colours, 'NO_COLOR';
    };
}

subtest 'the result on the same terminal; what fails' => sub {
    go('same', $_) for 1 .. 3;
    my $screen = $s->screen(80, 'leat submit step --input ' . $s->dir . '/same --watch');
    is $screen->end, 0, 'completed';
    like $screen->text, qr/^\[█+\] 100%  completed in \d+\.\d s\nthe result$/m, 'behind the bar';
    $screen = $s->screen(80, 'leat submit fails --watch');
    is $screen->end, 4, 'failed';
    like $screen->text, qr/^\[░+\]   0%  failed after .* s\nexit status 4: it broke$/m, 'says how';
};

subtest 'Ctrl-C, and again' => sub {
    my $screen = $s->screen(80, 'exec leat submit step --input ' . $s->dir . '/never --watch');
    ok $screen->shows(qr/0%.*running/), 'it runs';
    my ($id) = $screen->text =~ /^([0-9a-f-]{36})/m;
    $screen->type("\x03");
    ok $screen->shows(qr/^leat: detached: .*\n +leat watch $id$/m), 'says how to come back';
    ok $screen->shows(qr/leat watch $id\n\[/), '... above the bar';
    $screen->type("\x03");
    is $screen->end, 130, 'its exit status';
    like $screen->text, qr/^\[░+\]   0%  cancelled after/m, 'cancelled';
    is $s->status($id), 'cancelled', '... indeed';
};

subtest 'where nothing can be drawn' => sub {
    my $screen = $s->screen(80, 'leat submit fails --watch', TERM => 'dumb');
    is $screen->end, 4, 'a dumb terminal';
    unlike $screen->raw, qr/\e/, '... gets lines';
    like $screen->text, qr/^failed: exit status 4: it broke$/m, '... of words';
    $screen = $s->screen(80, 'leat submit fails --watch', LANG => 'C', LC_ALL => 'C');
    $screen->end;
    like $screen->text, qr/^\[-+\]   0%  failed/m, 'without UTF-8 the bar is ASCII';
};

done_testing;
