#!/usr/bin/perl
# The units for systemd say nothing that systemd does not understand, and fit the programs.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top    = abs_path(dirname(__FILE__) . '/../..');
my $build  = abs_path($ENV{BUILD} || 'build');
my $prefix = tempdir('leat-units-XXXXXX', DIR => '/tmp', CLEANUP => 1);
my @units  = map { m{([^/]+)$} } glob "$top/nginx/systemd/*.{service,socket}";
is_deeply [sort @units],
    [qw(leat.service leat.socket leatd.service)], 'the units';

my %at = (leatd => 'sbin', 'leat.fcgi' => 'lib/leat/cgi-bin');
for my $program (sort keys %at) {
    system 'install', '-D', "$build/$program", "$prefix/$at{$program}/$program";
    is $?, 0, "$program, where make install puts it";
}
for my $unit (@units) {
    open my $in, '<', "$top/nginx/systemd/$unit" or die "$unit: $!";
    my $text = do { local $/; <$in> };
    $text =~ s/\@PREFIX@/$prefix/g;
    unlike $text, qr/@[A-Z]+@/, "$unit: nothing else is to be put in";
    open my $out, '>', "$prefix/$unit" or die "$unit: $!";
    print {$out} $text;
    close $out;
}
SKIP: {
    skip 'no systemd-analyze here', 1 unless grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    my $said = `systemd-analyze verify --man=no $prefix/*.service $prefix/*.socket 2>&1`;
    is "$?: $said", '0: ', 'systemd-analyze verify';
}
done_testing;
