# leat list, show, log, cancel, retry: what they say, also as JSON, and how it fits the screen.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cli;
use Test::More;

my $s = Cli->new;
$s->job(cat => "#!/bin/sh\nexec cat\n");
$s->job('a-type-with-quite-a-long-name' => "#!/bin/sh\necho '50 a message that is much longer than what fits into a line of a screen with its eighty columns' >&3\n");
$s->job(says => <<'SH');
#!/bin/sh
cat >&3 <<'LINES'
{"log":"plain"}
{"log":"a warning","level":"warn"}
{"log":"red \u001b[31mink\ntwo lines\u001b]0;title\u0007\u001b[2J"}
{"log":"\u00fc"}
LINES
SH
$s->job(json => "#!/bin/sh\necho '{\"a\":[1,2],\"b\":\"text\"}'\n");
$s->job(make => "#!/bin/sh\nprintf abc >\$LEAT_FILES/out.txt\n");
$s->job(fails => "#!/bin/sh\necho oops >&2\nexit 3\n");
my $runner = $s->start;
my @types = qw(cat a-type-with-quite-a-long-name says json make fails);
my %id = map { $_ => $s->submit($_, '--owner', 'alice', '--group', 'a group') } @types;
$s->leat('wait', values %id);
$s->stop($runner);

subtest 'list' => sub {
    my $r = $s->leat('list');
    is_deeply [@$r{qw(status err)}], [0, ''], 'works without a runner';
    my ($head, @lines) = split /\n/, $r->{out};
    is @lines, 6, 'a line a task';
    is length($_) > 80 ? length : '', '', 'within 80 columns' for map { my $l = $_; utf8::decode($l); $l } $head, @lines;
    like $lines[-1], qr/^@{[substr $id{cat}, -12]} +completed +100% +\d+[smh] +cat /, 'the oldest last, by the end of its id';
    like $lines[0], qr/failed .*exit status 3/, 'with what went wrong';
    unlike $r->{out}, qr/ $/m, 'no blanks at the ends';
    my ($wide) = $s->leat({env => {COLUMNS => 200}}, 'list')->{out} =~ /^(\S+ +completed.*much longer.*)$/m;
    like $wide, qr/^$id{'a-type-with-quite-a-long-name'} .*eighty columns$/, 'COLUMNS counts: the whole id where there is room';
    my ($narrow) = sort { $b <=> $a } map { my $l = $_; utf8::decode($l); length $l } split /\n/, $s->leat({env => {COLUMNS => 40}}, 'list')->{out};
    cmp_ok $narrow, '<=', 40, '... and cuts what is too long where there is not';
    my $list = decode($s->leat('list', '--json')->{out});
    is $list->{next_page_token}, '', '--json: the list of the API';
    is_deeply [map { $_->{id} } @{ $list->{tasks} }], [reverse @id{@types}], '... the newest first';
    my $page = decode($s->leat('list', '--json', '--limit', 2)->{out});
    my $next = decode($s->leat('list', '--json', '--limit', 2, '--page-token', $page->{next_page_token})->{out});
    is_deeply [map { $_->{id} } @{ $page->{tasks} }, @{ $next->{tasks} }], [map { $_->{id} } @{ $list->{tasks} }[0 .. 3]], 'pages';
    for ([status => 'failed', 1], [type => 'cat', 1], [group => 'a group', 6], [owner => 'bob', 0]) {
        my ($option, $value, $count) = @$_;
        is @{ decode($s->leat('list', '--json', "--$option", $value)->{out})->{tasks} }, $count, "--$option";
    }
    is $s->leat(qw(list --owner bob))->{out}, '', 'nothing is nothing';
    for ([qw(--status done)], [qw(--limit 0)], [qw(--limit x)], [qw(--page-token x)], ['more']) {
        is $s->leat('list', @$_)->{status}, 64, "list @$_: EX_USAGE";
    }
};

subtest 'show' => sub {
    my $r = $s->leat('show', $id{json});
    like $r->{out}, qr/^ID +$id{json}$/m, 'the id';
    like $r->{out}, qr/^Status +completed in \d+\.\d s$/m, 'how it is';
    like $r->{out}, qr/^Owner +alice\nGroup +a group$/m, 'whose it is';
    like $r->{out}, qr/^  \{\n    "a": \[/m, 'the result, to read';
    unlike $r->{out}, qr/.{81}/, 'within 80 columns';
    like $s->leat('show', $id{fails})->{out}, qr/^Error +exit status 3: oops/m, 'what went wrong';
    like $s->leat('show', $id{make})->{out}, qr{^out\.txt +3 B +\S+}m, 'files, and where they lie';
    is $s->leat('show', '--result', $id{json})->{out}, qq({"a":[1,2],"b":"text"}\n), '--result: byte for byte';
    is $s->leat('show', '--result', $id{fails})->{status}, 65, '... 65 where there is none';
    my $t = $s->document($id{make});
    is $t->{files}[0]{name}, 'out.txt', '--json: the document';
    is $t->{links}{self}, "/api/tasks/$id{make}", '... with its links';
    for my $part (substr($id{cat}, -8), substr($id{cat}, -20), substr($id{cat}, 0, 30), uc $id{cat}) {
        is decode($s->leat('show', '--json', $part)->{out})->{id}, $id{cat}, "by $part";
    }
    # of one moment, as tasks are that were made together
    $s->sql("INSERT INTO tasks (id, owner, type, request_id, created_at, updated_at) VALUES"
            . " ('0199aaaa-0000-7000-8000-0000bbbbcccc', 'a', 'cat', 'r', 1, 1), ('0199aaaa-0001-7000-8000-0001bbbbcccc', 'a', 'cat', 'r', 1, 1);");
    for (qw(0199aaaa bbbbcccc)) {
        my $r = $s->leat('show', $_);
        is $r->{status}, 65, "$_ is ambiguous: 65";
        like $r->{err}, qr/more than one.*^0199aaaa-0001-\S+ +pending .*^0199aaaa-0000-/ms, '... with the candidates';
        is $r->{out}, '', '... on standard error';
    }
    $s->leat('cancel', '0199aaaa-0000', '0199aaaa-0001');
};

subtest 'log' => sub {
    my $r = $s->leat('log', $id{says});
    is $r->{out}, "plain\na warning\nred ink\ntwo lines\n\xc3\xbc\n", 'as the job wrote it';
    my @events = map { decode($_) } split /\n/, $s->leat('log', '--json', $id{says})->{out};
    is_deeply [map { "$_->{type} $_->{payload}{level}" } @events], ['log.append info', 'log.append warn', ('log.append info') x 2], '--json: events';
    my $screen = $s->screen(80, "leat log $id{says}");
    is $screen->end, 0, 'on a terminal';
    like $screen->text, qr/^red ink\ntwo lines$/m, '... what would steer it is left out';
    is $screen->strange, '', '... all of it';
    like $screen->raw, qr/red \e\[31mink\r?\ntwo lines\e\[0m\r?\n/, '... but its colours, which end with it';
    $screen = $s->screen(80, "NO_COLOR=1 leat log $id{says}");
    is $screen->end, 0, 'NO_COLOR';
    like $screen->text, qr/^red ink\ntwo lines$/m, '... the same text';
    ok !$screen->colours, '... without them';
};

subtest 'colours in what a job says of its progress' => sub {
    $s->job(colours => "#!/bin/sh\necho '{\"progress\":40,\"message\":\"\\u001b[31mred\\u001b[0m alert\"}' >&3\n");
    my $id = $s->submit('colours');
    is $s->once, 0, 'a job';
    like $s->leat('list', '--type', 'colours')->{out}, qr/ red alert$/m, 'are in no table, nor what is left of them';
    like $s->leat('show', $id)->{out}, qr/ red alert$/m, '... nor in what is shown of one task';
};

subtest 'log -f, cancel, retry' => sub {
    $s->job(hold => "#!/bin/sh\necho begun >&2\nwhile [ ! -e " . $s->dir . "/go ]; do sleep 0.05; done\necho over >&2\n");
    my $runner = $s->start;
    my $id = $s->submit('hold');
    my $p  = $s->begin('log', '-f', $id);
    ok wait_until { $s->out_of($p) eq "begun\n" }, 'a line as it comes';
    my $r = $s->leat('retry', $id);
    is $r->{status}, 65, 'what runs cannot be retried: 65';
    like $r->{err}, qr{\Aleat: $id: .*; leat show}, '... says so';
    Leatd::spew($s->dir . '/go', '');
    $r = $s->end($p);
    is_deeply [@$r{qw(status out)}], [0, "begun\nover\n"], 'until the end';
    $r = $s->leat('cancel', $id);
    is $r->{status}, 65, 'what has ended cannot be cancelled';

    $r = $s->leat('retry', $id{fails}, '--json');
    is decode($r->{out})->{tasks}[0]{status}, 'pending', 'retry --json';
    is $s->leat('wait', $id{fails})->{status}, 3, '... it ran again';
    is $s->document($id{fails})->{attempt}, 2, '... a second attempt';

    $r = $s->leat('retry', $id);
    is $r->{status}, 65, 'what has completed cannot be retried';
    unlink $s->dir . '/go';
    $r = $s->leat('retry', '--force', $id);
    is_deeply [@$r{qw(status out)}], [0, "$id: pending again\n"], '... but --force runs it anew';
    $s->reaches($id, 'running');
    $r = $s->leat('retry', '--force', $id);
    is_deeply [@$r{qw(status out)}], [0, "$id: running, is being stopped\n"], '... and again, while it runs';
    ok wait_until { $s->document($id)->{attempt} == 3 && $s->document($id)->{status} eq 'running' }, '... it begins again';
    Leatd::spew($s->dir . '/go', '');
    is $s->leat('wait', $id)->{status}, 0, '... and ends';

    my @wait = map { $s->submit(qw(cat --delay 3600)) } 1, 2;
    $r = $s->leat('retry', '--force', $wait[0]);
    is $r->{status}, 65, 'what waits is not run anew';
    unlike $r->{err}, qr/--force/, '... nor is --force advised to who said it';
    $r = $s->leat('cancel', $wait[0], '99999999', $wait[1]);
    is $r->{status}, 65, 'cancel: one of several is unknown';
    is $r->{out}, "$wait[0]: cancelled\n$wait[1]: cancelled\n", '... the others are cancelled';
    unlink $s->dir . '/go';
    $id = $s->submit('hold');
    $s->reaches($id, 'running');
    is $s->leat('cancel', $id)->{out}, "$id: running, is being stopped\n", 'one that runs is being stopped';
    is $s->leat('wait', $id)->{status}, 130, '... and then cancelled';
    $s->stop($runner);
};

subtest 'where whoever started a program closed its descriptors' => sub {
    my $closed = sub { # SHELL-REDIRECTIONS PROGRAM ARG...: its exit status, its standard error
        my ($how, @program) = @_;
        local $ENV{LEAT_CONF} = $s->dir . '/leat.conf';
        my $status = system('sh', '-c', "exec \"\$@\" $how", 'sh', @program);
        return $status >> 8;
    };
    my $files = sub { join '', map { slurp($_) } "$s->{db}.lock", "$s->{db}.bell" };
    my $leat  = ($ENV{BUILD} || 'build') . '/leat';
    my $said  = $s->dir . '/said';
    my $id    = $s->submit(qw(cat --delay 3600));
    is $closed->(">&- 2>'$said'", $leat, 'list'), 74, 'leat without standard output: EX_IOERR';
    like slurp($said), qr/^leat: standard output: /, '... which it says';
    is $closed->(">&- 2>&-", $leat, 'show', $id), 74, '... without standard error too';
    unlike $files->(), qr/$id|STATUS/, '... and what it would say is in no file of the database';
    is $closed->("<&- >/dev/null 2>'$said'", $leat, qw(submit cat --input-file -)), 66, 'leat without standard input: EX_NOINPUT';
    for my $how ('2>&-', '2>&- <&-') {
        my $r = $s->cgi(GET => '/api/tasks', '', env => {LEAT_LOG_LEVEL => 'debug'}, by => ['sh', '-c', "exec \"\$@\" $how", 'sh']);
        is $r->{status}, 200, "leat.fcgi with $how";
        unlike $files->(), qr/level=/, '... its log is in no file of the database';
    }
    $s->leat('cancel', $id);
};

subtest 'without a runner people are told' => sub {
    my $id = $s->submit('cat');
    my $p  = $s->begin('watch', $id);
    ok wait_until { $s->out_of($p) =~ /^leat: no runner is alive/m }, 'nothing will happen';
    kill TERM => $p->{pid};
    is $s->end($p)->{status}, 130, 'left';
};

done_testing;
