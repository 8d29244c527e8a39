# Calls that fail, and a clock that is wrong, in programs of ours: faults.c, built for one test.
#
#     my $faults = Faults->new($l->dir);
#     my %env = $faults->env('pwrite:17:ENOSPC');    # of a program that is to have them
#     $faults->failed;                               # how many calls failed
#     $faults->clock(-3600_000);                     # the wall clock, of them all, an hour back
package Faults;

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);

my @kinds = qw(write pwrite pread sync fsync fork execve memory open mkdir pipe rename remove epoll socket
    flock lock dup map stat limit);
my $page = 0;

# Builds the library in a folder. One per test; page() gives more that share it.
sub new {
    my ($class, $dir) = @_;
    my $source = abs_path(dirname(__FILE__)) . '/faults.c';
    my $cc     = $ENV{CC} || 'cc';
    my $said   = `$cc -std=gnu11 -D_GNU_SOURCE -U_FORTIFY_SOURCE -O1 -shared -fPIC -o $dir/faults.so $source 2>&1`;
    croak "$cc: $said" if $?;
    return bless({library => "$dir/faults.so", dir => $dir}, $class)->page;
}

# Another counter: for processes that share nothing with those of this one.
sub page {
    my ($self, $dir) = @_;
    my $new = bless {%$self, page => ($dir // $self->{dir}) . '/faults.' . ++$page}, ref $self;
    open my $out, '>', $new->{page} or croak "$new->{page}: $!";
    print {$out} "\0" x 4096;
    close $out;
    return $new;
}

# Programs that are built with sanitizers allow nothing to be loaded before.
sub possible {
    my ($program) = @_;
    return `ldd $program 2>&1` !~ /lib[a-z]+san/;
}

sub env {
    my ($self, $faults) = @_;
    return (LD_PRELOAD => $self->{library}, FAULT_PAGE => $self->{page}, FAULT => $faults // '');
}

sub number {
    my ($self, $at, $value) = @_;
    open my $file, '+<:raw', $self->{page} or croak "$self->{page}: $!";
    sysseek $file, 8 * $at, 0;
    syswrite $file, pack 'q<', $value if defined $value;
    sysseek $file, 8 * $at, 0;
    sysread $file, my $bytes, 8;
    return unpack 'q<', $bytes;
}

sub failed { return $_[0]->number(0) }
sub clock  { return $_[0]->number(1, $_[1]) }

# How many calls there were: kind => number.
sub calls {
    my ($self) = @_;
    return map { $kinds[$_] => $self->number(2 + $_) } 0 .. $#kinds;
}

1;
