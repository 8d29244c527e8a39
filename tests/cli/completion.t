# Completion for bash: what a person gets who presses the tab key.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cwd qw(abs_path);
use Cli;
use Test::More;

my $s = Cli->new;
$s->job(wordcount => "#!/bin/sh\nexec wc -w\n");
my $id   = $s->submit('wordcount');
my $file = abs_path("$FindBin::Bin/../../lib/cli/leat.bash");
my $path = abs_path($ENV{BUILD} || 'build');

sub completes {
    my (@words) = @_;
    my $list = join ' ', map { "'$_'" } @words;
    local $ENV{PATH} = "$path:$ENV{PATH}";
    local $ENV{LEAT_CONF} = "$s->{dir}/leat.conf";
    open my $shell, '-|', 'bash', '-c', ". $file; COMP_WORDS=($list); COMP_CWORD=$#words; _leat; printf '%s\\n' \"\${COMPREPLY[\@]}\"" or die;
    return [sort split /\n/, do { local $/; readline($shell) // '' }];
}

is_deeply completes('leat', 'su'), ['submit'], 'commands';
ok +(grep { $_ eq 'check' } @{ completes('leat', '') }), '... all of them';
is_deeply completes('leat', 'submit', 'w'), ['wordcount'], 'types';
is_deeply completes('leat', 'show', ''), [$id], 'ids';
is_deeply completes('leat', 'submit', 'wordcount', '--inp'), ['--input', '--input-file'], 'options';
is_deeply completes('leat', 'token', ''), [qw(add list revoke)], 'a second word';
is_deeply completes('leat', 'token', 'add', '--ow'), ['--owner'], '... with options';
is_deeply completes('leat', 'list', '--status', 'c'), [qw(cancelled completed)], 'values';
is_deeply completes('leat', '--config', "$s->{dir}/leat.conf", 'watch', substr $id, 0, 4), [$id], 'behind --config';

done_testing;
