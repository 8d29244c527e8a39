# leat token: what it says, on which stream, with which exit status; and that a server beside it takes
# each change at once.
use strict;
use warnings;
use Leat;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

my $l = Leat->start(conf => "[auth]\nanonymous =\n");

sub works { return $l->http(GET => '/api/tasks', headers => [Authorization => "Bearer $_[0]"])->status == 200 }

# Runs it with these arguments alone, without the --config that Leat.pm gives.
sub bare {
    my ($env, @args) = @_;
    my $out = "$l->{dir}/bare";
    my $program = ($ENV{BUILD} || 'build') . '/leat';
    my $pid = fork;
    if (!$pid) {
        %ENV = (%ENV, %$env);
        open STDOUT, '>',  "$out.out";
        open STDERR, '>',  "$out.err";
        exec $program, @args or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return {status => $? >> 8, out => Leat::slurp("$out.out"), err => Leat::slurp("$out.err")};
}

subtest 'add' => sub {
    my $r = $l->leat(qw(token add --owner alice));
    is_deeply [@$r{qw(status err)}], [0, ''], 'says nothing else';
    like $r->{out}, qr/\Aleat_[A-Za-z0-9_-]{43}\z/, 'the token alone on standard output';
    ok works($r->{out}), 'which works at once';
    my $json = $l->leat(qw(token add --owner anna --json));
    is $json->{status}, 0, 'and as JSON';
    my $anna = decode_json($json->{out});
    ok works(delete $anna->{token}), '... with a token that works';
    is_deeply [$anna], [grep { $_->{owner} eq 'anna' } @{ decode_json($l->leat(qw(token list --json))->{out})->{tokens} }], '... beside what the list has';
    my $long = $l->leat('token', 'add', '--owner=bob', '--scope=read,create', '--name', 'his phone', '--expires=90d');
    is $long->{status}, 0, 'with all its options, also by =';
    my ($bob) = grep { $_->{owner} eq 'bob' } @{ decode_json($l->leat(qw(token list --json))->{out})->{tokens} };
    is_deeply [@$bob{qw(scopes name state revoked_at)}], [[qw(create read)], 'his phone', 'valid', undef], 'is what was asked for';
    is $bob->{expires_at} - $bob->{created_at}, 90 * 86_400_000, '... for ninety days';
    cmp_ok abs($bob->{created_at} - time * 1000), '<', 60_000, '... from now';
    my %ages = ('45' => 45, '45s' => 45, '30m' => 1800, '12h' => 43_200, '1.5d' => 129_600, '2w' => 1_209_600, '1y' => 31_536_000);
    for my $age (sort keys %ages) {
        is $l->leat(qw(token add --owner ages --name), "for $age", '--expires', $age)->{status}, 0, "--expires $age";
        my ($t) = grep { ($_->{name} // '') eq "for $age" } @{ decode_json($l->leat(qw(token list --json))->{out})->{tokens} };
        is $t->{expires_at} - $t->{created_at}, $ages{$age} * 1000, "... is $ages{$age} s";
    }
};

subtest 'wrong arguments name the option' => sub {
    my @rows = (
        [['token', 'add'],                                    qr/^leat: --owner: missing$/m],
        [[qw(token add --owner)],                             qr/^leat: --owner: a value is missing$/m],
        [['token', 'add', '--owner', ''],                     qr/^leat: --owner: /m],
        [['token', 'add', '--owner', "a\nb"],                 qr/^leat: --owner: /m],
        [['token', 'add', '--owner', 'x' x 201],              qr/^leat: --owner: /m],
        [['token', 'add', '--owner', 'a', '--scope', 'read,writ'],         qr/^leat: --scope: 'writ' is not create, read, publish or admin$/m],
        [['token', 'add', '--owner', 'a', '--scope', ','],    qr/^leat: --scope: empty$/m],
        [[qw(token add --owner a --name 7)],                  qr/^leat: --name: /m],
        (map { [['token', 'add', '--owner', 'a', '--expires', $_], qr/^leat: --expires: '\Q$_\E' is not a time such as 90d/m] }
            '', '0', '-1d', 'd', '1dd', '1 d', '1D', '0.1s', '101y', '1e9', 'soon', '0x10'),
        [[qw(token add --owner a --expire 9d)],               qr/^leat: --expire: no such option$/m],
        [[qw(token add --owner a more)],                      qr/^leat: 'more' is not expected here$/m],
        [[qw(token list --json=1)],                           qr/^leat: --json: takes no value$/m],
        [[qw(token list all)],                                qr/^leat: 'all' is not expected here$/m],
        [[qw(token revoke)],                                  qr/^leat: one ID or NAME is expected$/m],
        [[qw(token revoke 1 2)],                              qr/^leat: one ID or NAME is expected$/m],
        [[qw(token)],                                         qr/^  leat token revoke /m],
        [[qw(token make)],                                    qr/^  leat token revoke /m],
        [[qw(tokens list)],                                   qr/^leat: there is no command 'tokens'/m],
        [[],                                                  qr/^usage: leat /m],
        [[qw(--verbose)],                                     qr/^leat: --verbose: no such option$/m],
    );
    my $before = $l->leat(qw(token list))->{out};
    for (@rows) {
        my ($args, $says) = @$_;
        my $r = $l->leat(@$args);
        (my $shown = join ' ', map { $_ eq '' ? "''" : $_ } @$args) =~ s/\n/\\n/g;
        is $r->{status}, 64, "leat " . substr($shown, 0, 60) . ': EX_USAGE';
        like $r->{err}, $says, '... says why';
        is $r->{out}, '', '... on standard error';
    }
    is $l->leat(qw(token list))->{out}, $before, 'and no token was made';
};

subtest 'list' => sub {
    my $text = $l->leat(qw(token list));
    is $text->{status}, 0, 'a table';
    like $text->{out}, qr/^ID +STATE +OWNER +NAME +SCOPES +EXPIRES$/m, '... with its heads';
    like $text->{out}, qr/^ *3 +valid +bob +his phone +create,read +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$/m, '... a row each';
    is_deeply [grep { length > 80 } split /\n/, $text->{out}], [], '... within 80 columns';
    my $wide = bare({COLUMNS => 200}, 'token', 'list', '--config', $l->conf_file);
    like $wide->{out}, qr/ EXPIRES +CREATED$/m, '... and more of it where there is room';
    unlike $text->{out}, qr/leat_/, 'no secret';
    my $json = $l->leat(qw(token list --json));
    is scalar(my @lines = split /\n/, $json->{out}), 1, 'or JSON';
    is_deeply [sort keys %{ decode_json($json->{out})->{tokens}[0] }],
        [qw(created_at expires_at id name owner revoked_at scopes state)], '... with these members';
    unlike $json->{out}, qr/leat_/, '... no secret there either';
};

subtest 'revoke' => sub {
    my %token = map { $_ => $l->leat(qw(token add --owner carol --name), $_)->{out} } qw(one two);
    my $r = $l->leat(qw(token revoke one));
    is $r->{status}, 0, 'by name';
    like $r->{out}, qr/^token \d+ is revoked$/, '... says which';
    ok !works($token{one}), '... and it no longer works';
    ok works($token{two}), 'another does';
    $r = $l->leat(qw(token revoke one));
    is $r->{status}, 65, 'a second time: EX_DATAERR';
    like $r->{err}, qr/no token in force is named 'one'/, '... no such name in force';
    my ($id) = map { $_->{id} } grep { ($_->{name} // '') eq 'two' } @{ decode_json($l->leat(qw(token list --json))->{out})->{tokens} };
    is $l->leat('token', 'revoke', $id)->{status}, 0, 'by id';
    ok !works($token{two}), '... and it no longer works';
    $r = $l->leat('token', 'revoke', $id);
    is $r->{status}, 65, 'a second time: EX_DATAERR';
    like $r->{err}, qr/token $id is revoked already/, '... says so';
    is $l->leat(qw(token revoke 9999))->{status}, 65, 'an id that never was';
    $l->leat(qw(token add --owner dave --name twin)) for 1, 2;
    $r = $l->leat(qw(token revoke twin));
    is $r->{status}, 65, 'a name that two have';
    like $r->{err}, qr/with the ids \d+, \d+$/m, '... lists their ids';
    my $eve = decode_json($l->leat(qw(token add --owner eve --name eve --json))->{out});
    $r = decode_json($l->leat(qw(token revoke eve --json))->{out});
    is $r->{id}, $eve->{id}, '--json says which';
    ok abs($r->{revoked_at} - time * 1000) < 60_000, '... and when';
    like $l->leat(qw(token list))->{out}, qr/^ *$id +revoked /m, 'the list tells';
    $r = $l->leat(qw(token revoke --), '-odd');
    is $r->{status}, 65, 'after -- all are operands';
};

subtest 'settings' => sub {
    my $conf = $l->conf_file;
    is bare({}, 'token', 'list', '--config', $conf)->{status}, 0, '--config behind the command';
    is bare({}, "--config=$conf", 'token', 'list')->{status}, 0, '... before it, by =';
    is bare({}, 'token', "--config=$conf", 'list')->{status}, 64, '... but not inside its name';
    is bare({LEAT_CONF => $conf}, 'token', 'list')->{status}, 0, '$LEAT_CONF';
    my $r = bare({}, 'token', 'list', '--config', '/nonexistent');
    is $r->{status}, 78, 'a file that is missing: EX_CONFIG';
    like $r->{err}, qr{^leat: cannot read /nonexistent: }, '... says which';
    Leat::write_file("$l->{dir}/bad.conf", "[auth]\nanonymos = x\n");
    $r = bare({}, '--config', "$l->{dir}/bad.conf", 'token', 'list');
    is $r->{status}, 78, 'one that is wrong';
    like $r->{err}, qr{bad\.conf:2: unknown key 'anonymos'}, '... says where';
    Leat::write_file("$l->{dir}/bad.conf", "[auth]\nanonymous = x\n");
    $r = bare({}, '--config', "$l->{dir}/bad.conf", 'token', 'list');
    is $r->{status}, 78, 'one without a database';
    like $r->{err}, qr/\[database\] path is not set in/, '... says so';
    is bare({}, '--config')->{status}, 64, '--config without a value';
};

subtest 'help' => sub {
    my $r = bare({}, '--help');
    is $r->{status}, 0, '--help';
    like $r->{out}, qr/^  leat token $_ /m, "... lists token $_" for qw(add list revoke);
    is bare({}, '--version')->{out}, "leat 0.1.0\n", '--version';
    $r = bare({}, 'token', 'add', '--help');
    is $r->{status}, 0, 'token add --help';
    like $r->{out}, qr/^  --expires AGE /m, '... explains its options';
};

$l->stop;
done_testing;
