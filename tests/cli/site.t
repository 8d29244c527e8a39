# leat types, pause, resume, stats, top; leat progress and emit inside a job.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cli;
use Test::More;

my $s = Cli->new;
my $leat = ($ENV{BUILD} || 'build') . '/leat';
chomp($leat = qx(realpath $leat));
$s->job(cat => "#!/bin/sh\nexec cat\n", "timeout = 90\nattempts = 3\nresult_type = text/plain\nserialize = group\n");
$s->job(says => <<"SH");
#!/bin/sh
$leat progress 40 'half way, "nearly"' --phase compile || exit 11
$leat progress 50.5 || exit 12
$leat emit doc.created '{"a":
 [1, 2]}' || exit 13
$leat emit task.done 1 2>&1 && exit 14
$leat emit doc.created '{' 2>&1 && exit 15
$leat progress 101 2>&1 && exit 16
$leat emit doc.large "\\"\$(head -c 70000 /dev/zero | tr '\\0' x)\\"" 2>&1 && exit 17
exit 0
SH
$s->job(hold => "#!/bin/sh\nexec sleep 60\n", "kill_grace = 0\n");
my $runner = $s->start;

subtest 'progress and emit, inside a job' => sub {
    my $r = $s->leat(qw(submit says --watch));
    is $r->{status}, 0, 'work, and refuse what is wrong' or diag $r->{out};
    like $r->{out}, qr/^ 40% compile: half way, "nearly"$/m, 'progress with message and phase';
    like $r->{out}, qr/^ 50% compile: half way/m, '... which stay';
    like $r->{out}, qr/^doc\.created \{"a":\[1,2\]\}$/m, 'an event, on one line';
    like $r->{out}, qr/TYPE: 'task.done' is not words/, 'a reserved type';
    like $r->{out}, qr/JSON: /, 'what is no JSON';
    like $r->{out}, qr/PERCENT: '101' is not a number from 0 to 100/, 'what is no percentage';
    like $r->{out}, qr/at most 64512 are taken/, 'what is too long';
    $r = $s->leat(qw(progress 5));
    is $r->{status}, 69, 'outside of a job: EX_UNAVAILABLE';
    like $r->{err}, qr/inside a job/, '... says so';
};

subtest 'types' => sub {
    my $r = $s->leat('types');
    like $r->{out}, qr/^TYPE .*\ncat  +ready  +90 s  +3 .* text\/plain +group\n/, 'a table';
    unlike $r->{out}, qr/.{81}/, 'within 80 columns';
    my ($cat) = @{ decode($s->leat(qw(types --json))->{out})->{types} };
    is_deeply $cat,
        {type => 'cat', timeout => 90, max_attempts => 3, max_input_bytes => 67108864, result_type => 'text/plain',
            serialize => 'group', get => JSON::PP::false, paused => JSON::PP::false, broken => undef}, '--json: as the API says';
    chmod 0644, "$s->{jobs}/hold";
    like $s->leat('types')->{out}, qr/^hold +broken .*^hold: .*not executable/ms, 'what is broken';
    chmod 0755, "$s->{jobs}/hold";
};

subtest 'pause and resume' => sub {
    is $s->leat(qw(pause cat))->{out}, "cat: paused\n", 'pause';
    my $id = $s->submit(qw(cat --input x));
    my $later = $s->submit('says');
    $s->leat('wait', $later);
    is $s->status($id), 'pending', 'what is paused waits, others go on';
    like $s->leat('types')->{out}, qr/^cat +paused/m, 'types says so';
    like $s->leat('stats')->{out}, qr/^Paused +cat$/m, 'stats too';
    is decode($s->leat(qw(resume cat --json))->{out})->{types}[0]{paused}, JSON::PP::false, 'resume --json';
    is $s->leat('wait', $id)->{status}, 0, '... and it runs';
    my $r = $s->leat(qw(pause nosuch cat));
    is $r->{status}, 65, 'an unknown type: 65';
    is $r->{out}, "cat: paused\n", '... the others are paused';
    like $r->{err}, qr/^leat: nosuch: there is no such type; leat types lists them$/, '... says so';
    $s->leat(qw(resume cat));
};

subtest 'leat-check is there without a file' => sub {
    my $r = $s->leat(qw(submit leat-check --input), 'ticks 2', '--watch');
    is $r->{status}, 0, 'it runs';
    like $r->{out}, qr/^check\.tick \{"n":1\}\ncheck\.tick \{"n":2\}\ncompleted\n\{"bytes":7\}\n\z/m, '... ticks, and counts its input';
    unlike $s->leat('types')->{out}, qr/leat-check/, '... and is in no list';
    $s->job('leat-check' => "#!/bin/sh\necho mine\n");
    like $s->leat(qw(submit leat-check --watch))->{out}, qr/^mine$/m, 'a file of that name comes first';
    unlink "$s->{jobs}/leat-check";
};

subtest 'stats' => sub {
    my $r = $s->leat('stats');
    like $r->{out}, qr/^Tasks +0 pending, 0 running\n/, 'the queue';
    like $r->{out}, qr/^Runners +1$/m, 'runners';
    like $r->{out}, qr/^leatd +\d+ +\d+[smh] +\d/m, 'processes';
    like $r->{out}, qr/^says +0 +0 +\d/m, 'types';
    unlike $r->{out}, qr/.{81}/, 'within 80 columns';
    my $stats = decode($s->leat(qw(stats --json))->{out});
    is $stats->{queue}{pending}, 0, '--json: the document of the API';
    is $stats->{runners}, 1, '... with runners';
};

subtest 'top' => sub {
    my $id = $s->submit('hold');
    $s->reaches($id, 'running');
    my $r = $s->leat('top');
    is $r->{status}, 0, 'off a terminal once';
    like $r->{out}, qr/^Tasks +0 pending, 1 running.*^hold @{[substr $id, -12]} .*  0%/ms, 'figures and tasks';
    my $screen = $s->screen(80, 'exec leat top');
    ok $screen->shows(qr/0 pending, 1 running/), 'on a terminal';
    my $more = $s->submit(qw(cat --delay 3600));
    ok $screen->shows(qr/1 pending, 1 running/), '... live';
    $screen->type("\x03");
    is $screen->end, 0, '... until Ctrl-C';
    $s->leat('cancel', $id, $more);
};

subtest 'help' => sub {
    my $r = $s->leat('--help');
    unlike $r->{out}, qr/.{101}/, 'is not too wide';
    for my $name ($r->{out} =~ /^  leat ((?:token )?[a-z]+)/mg) {
        my $help = $s->leat(split(/ /, $name), '--help');
        is $help->{status}, 0, "leat $name --help";
        like $help->{out}, qr/\Ausage: leat $name/, '... says how';
        unlike $help->{out}, qr/.{101}/, '... not too wide';
    }
    my $token = $s->leat(qw(token --help));
    is_deeply [@$token{qw(status err)}], [0, ''], 'leat token --help';
    like $token->{out}, qr/^  leat token add .*^  leat token revoke /ms, '... says what there is';
};

done_testing;
