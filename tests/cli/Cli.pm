# A site without a web server: leatd alone (Leatd.pm), and `leat` beside it. Core modules only.
#
#     use FindBin;
#     use lib $FindBin::Bin;
#     use Cli;
#     my $s = Cli->new;
#     $s->job(echo => "#!/bin/sh\nexec cat\n");
#     $s->start;
#     my $r = $s->leat('submit', 'echo', '--input', 'x', '--watch');    # {status, out, err}
#     my $p = $s->begin('watch', $id); kill INT => $p->{pid}; $r = $s->end($p);
#     my $t = $s->screen(80, "leat watch $id");                        # on a terminal: Screen.pm
package Cli;

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use lib abs_path(dirname(__FILE__) . '/../runner');
use Leatd;
use Screen;
use JSON::PP ();
use POSIX ();

our @ISA    = qw(Leatd);
our @EXPORT = qw(wait_until slurp decode);    # two of them from Leatd

my $build = $ENV{BUILD} || 'build';
$build = abs_path(dirname(__FILE__) . '/../..') . "/$build" unless $build =~ m{^/};

sub decode { return JSON::PP->new->utf8->allow_nonref->decode($_[-1]) }

# Starts `leat ARG...`. A {..} before them: env => {..} beside PATH, in => what it reads, config => 0 for none.
sub begin {
    my ($self, @args) = @_;
    my $opt = ref $args[0] eq 'HASH' ? shift @args : {};
    my $at  = "$self->{dir}/leat-$$-" . ++$self->{begun};    # a test and its children begin some at a time
    Leatd::spew("$at.in", $opt->{in} // '');
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        %ENV = (PATH => "$build:$ENV{PATH}", LANG => 'C.UTF-8', TZ => 'UTC', TESTED_IN => $self->{dir},
            ($opt->{config} // 1 ? (LEAT_CONF => "$self->{dir}/leat.conf") : ()), %{ $opt->{env} // {} });
        chdir $self->{dir};
        open STDIN,  '<', "$at.in"  or die;
        open STDOUT, '>', "$at.out" or die;
        open STDERR, '>', "$at.err" or die;
        exec 'setpriv', '--pdeathsig', 'TERM', "$build/leat", @args or POSIX::_exit(127);
    }
    push @{ $self->{pids} }, $pid;
    return {pid => $pid, at => $at};
}

# Waits until it has its own way of ending: before that a signal would simply kill it.
sub catches {
    my ($self, $p) = @_;
    return wait_until {
        my ($caught) = slurp("/proc/$p->{pid}/status") =~ /^SigCgt:\s*([0-9a-f]+)/m;
        hex(substr $caught // '0', -8) & 1 << POSIX::SIGTERM() - 1
    };
}

sub out_of { return slurp("$_[1]{at}.out") }
sub err_of { return slurp("$_[1]{at}.err") }

# Waits for its end: {status, out, err, signal}.
sub end {
    my ($self, $p, $seconds) = @_;
    my $ended = $self->ended($p->{pid}, $seconds // 60);
    croak "leat does not end: " . $self->out_of($p) . $self->err_of($p) unless defined $ended;
    return {status => $ended >> 8, signal => $ended & 127, out => $self->out_of($p), err => $self->err_of($p)};
}

sub leat {
    my ($self, @args) = @_;
    return $self->end($self->begin(@args));
}

# Makes a task; gives its id.
sub submit {
    my ($self, @args) = @_;
    my $r = $self->leat('submit', @args);
    croak "leat submit @args: $r->{err}" if $r->{status};
    chomp(my $id = $r->{out});
    return $id;
}

# The document of a task.
sub document {
    my ($self, $id) = @_;
    return decode($self->leat('show', '--json', $id)->{out});
}

# Runs a shell command on a terminal of so many columns and 24 rows (Screen.pm).
sub screen {
    my ($self, $columns, $command, %env) = @_;
    return Screen->new($self, $columns, $command,
        {PATH => "$build:$ENV{PATH}", LANG => 'C.UTF-8', TZ => 'UTC', TERM => 'xterm', TESTED_IN => $self->{dir},
            LEAT_CONF => "$self->{dir}/leat.conf", %env});
}

1;
