# leat backup, restore, migrate: while programs use the database, and while none may.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cli;
use Test::More;

my $s = Cli->new;
$s->job(cat => "#!/bin/sh\nexec cat\n");
my $runner = $s->start;
my $file   = $s->dir . '/site.backup';
my $first  = $s->submit(qw(cat --input first));
$s->leat('wait', $first);

sub epoch { return decode($s->leat('list', '--json')->{out})->{tasks}[0]{cursor} =~ s/-.*//r }
my $epoch = epoch();

subtest 'backup, while the site works' => sub {
    my $stop = $s->dir . '/stop';
    my $pid = fork // die;
    if (!$pid) {
        until (-e $stop) { $s->leat(qw(submit cat --input more)) }
        POSIX::_exit(0);
    }
    for (1 .. 3) {
        my $r = $s->leat('backup', $file);
        is $r->{status}, 0, 'made' or diag $r->{err};
        like $r->{out}, qr/\A\Q$file\E: [\d.]+ [KM]iB\n\z/, '... says how large';
        is qx(sqlite3 $file 'PRAGMA integrity_check'), "ok\n", '... sound';
        is qx(sqlite3 $file 'SELECT count(*) FROM events e JOIN tasks t ON t.n = e.task WHERE t.id = "$first"'), "3\n", '... whole';
        is qx(sqlite3 $file 'SELECT count(*) FROM tasks WHERE n NOT IN (SELECT task FROM events)'), "0\n", '... of one moment';
    }
    Leatd::spew($stop, '');
    waitpid $pid, 0;
    is +(stat $file)[2] & 07777, 0600, 'for its owner alone';
    is_deeply [glob "$file?*"], [], 'nothing beside it';
    is $s->leat('wait', $s->submit('cat'))->{status}, 0, 'the site still works';
    is decode($s->leat('backup', '--json', $file)->{out})->{bytes}, -s $file, '--json';
};

subtest 'backup spares what is none' => sub {
    my $text = $s->dir . '/letter.txt';
    Leatd::spew($text, 'dear reader');
    for my $target ($text, $s->{db}, "$s->{db}-wal", "$s->{db}.lock", "$s->{db}.live", $s->dir) {
        my $r = $s->leat('backup', $target);
        is $r->{status}, 73, "$target: EX_CANTCREAT";
        like $r->{err}, qr/^leat: \Q$target\E .*name another/, '... says why';
    }
    is slurp($text), 'dear reader', 'it stays as it was';
    my $nowhere = $s->leat('backup', '/nowhere/x');
    is $nowhere->{status}, 73, 'a folder that is not there: EX_CANTCREAT';
    like $nowhere->{err}, qr{^leat: cannot make /nowhere/x.*No such file}, '... says so';
};

my $second = $s->submit(qw(cat --input second));
$s->leat('wait', $second);

subtest 'restore refuses while a program has the database open' => sub {
    for my $command (['restore', $file], ['migrate']) {
        my $r = $s->leat(@$command);
        is $r->{status}, 75, "$command->[0]: 75";
        like $r->{err}, qr/is open in process \d+ \(leatd\)/, '... names it';
    }
    $s->stop($runner);
    my $p = $s->begin('watch', $s->submit(qw(cat --delay 3600)));
    ok wait_until { $s->out_of($p) =~ /pending/ }, 'leat, too';
    is $s->leat('restore', $file)->{status}, 75, '... counts';
    kill TERM => $p->{pid};
    $s->end($p);
    # a program that knows nothing of us
    my $shell = open(my $in, '|-', "sqlite3 $s->{db} >$s->{dir}/shell.out") // die;
    syswrite $in, "BEGIN; SELECT count(*) FROM tasks;\n";
    ok wait_until { slurp("$s->{dir}/shell.out") ne '' }, 'and sqlite3';
    my $r = $s->leat('restore', $file);
    is $r->{status}, 75, '... counts';
    close $in;
    is $s->document($second)->{status}, 'completed', 'nothing has changed';
};

subtest 'restore' => sub {
    for (['a text', 'dear reader', 65], ['half of one', substr(slurp($file), 0, 20000), 65]) {
        my ($name, $bytes, $status) = @$_;
        Leatd::spew($s->dir . '/bad', $bytes);
        my $r = $s->leat('restore', $s->dir . '/bad');
        is $r->{status}, $status, "$name: refused";
    }
    qx(sqlite3 $s->{dir}/other 'CREATE TABLE t (x)');
    is $s->leat('restore', $s->dir . '/other')->{status}, 65, 'a database of something else: refused';
    is $s->leat('restore', '/nowhere/x')->{status}, 66, 'none: EX_NOINPUT';
    is $s->document($second)->{status}, 'completed', 'nothing has changed';

    my $r = $s->leat('restore', $file);
    is $r->{status}, 0, 'done' or diag $r->{err};
    my ($kept) = $r->{out} =~ /^what was there before is (\S+);/m;
    ok -e $kept, 'the old one stays';
    is qx(sqlite3 $kept 'SELECT count(*) FROM tasks WHERE id = "$second"'), "1\n", '... whole';
    is $s->document($first)->{status}, 'completed', 'what was there then is there';
    is $s->leat('show', $second)->{status}, 65, '... and nothing else';
    isnt epoch(), $epoch, 'a new epoch';
    is_deeply [glob "$s->{db}.restore*"], [], 'nothing is left beside it';
    my $runner = $s->start;
    is $s->leat('wait', $s->submit(qw(cat --input third)))->{status}, 0, 'the site works on';
    $s->stop($runner);

    # a damaged one can be replaced, too
    open my $out, '+<', $s->{db} or die;
    syswrite $out, "\xff" x 4096;
    close $out;
    isnt $s->leat('list')->{status}, 0, 'the database is damaged';
    $r = $s->leat('restore', '--json', $file);
    is $r->{status}, 0, 'restored' or diag $r->{err};
    ok -e decode($r->{out})->{kept}, '... the damaged one stays';
    is $s->leat('list')->{status}, 0, '... and all is well';
};

subtest 'migrate' => sub {
    # as one that an earlier version made
    qx(sqlite3 $s->{db} 'PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = 0; VACUUM;');
    is_deeply [map { values %$_ } $s->sql('PRAGMA auto_vacuum;')], [0], 'a database that gives no space back';
    my $r = $s->leat('migrate');
    is $r->{status}, 0, 'done' or diag $r->{err};
    my ($now) = map { values %$_ } $s->sql('PRAGMA auto_vacuum;');
    is $now, 2, 'space can be given back';
    is $s->document($first)->{status}, 'completed', 'all is there';
    is $s->leat('migrate')->{out}, "$s->{db}: nothing to do\n", 'once';
    is decode($s->leat('migrate', '--json')->{out})->{rebuilt}, JSON::PP::false, '--json';
};

subtest 'without a runner the log stays short too' => sub {
    my $before = -s $s->{db};
    my $r = $s->leat({in => 'x' x 20_000_000}, qw(submit cat --input-file -));
    is $r->{status}, 0, 'a large input' or diag $r->{err};
    cmp_ok -s $s->{db}, '>', $before + 19_000_000, '... is in the database when leat has ended';
};

done_testing;
