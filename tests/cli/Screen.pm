# A terminal, for programs that draw: script(1) gives them one, and what they write is laid out here as a terminal
# would. Knows what leat uses: line breaks, carriage returns, the cursor going up, erasing to the end of line and
# screen, colours. Whatever else comes is kept in {strange}.
package Screen;

use strict;
use warnings;
use Carp qw(croak);
use Encode ();
use IO::Select;
use POSIX ();
use Time::HiRes qw(time);

# new(SITE, COLUMNS, SHELL COMMAND, {ENV})
sub new {
    my ($class, $site, $columns, $command, $env) = @_;
    pipe my $read_in, my $in or croak "pipe: $!";
    pipe my $out, my $write_out or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        %ENV = (%$env, SHELL => '/bin/sh');
        chdir $site->{dir};
        open STDIN,  '<&', $read_in   or die;
        open STDOUT, '>&', $write_out or die;
        open STDERR, '>&', $write_out or die;
        exec 'setpriv', '--pdeathsig', 'TERM', 'script', '-qfec', "stty cols $columns rows 24; $command", '/dev/null'
            or POSIX::_exit(127);
    }
    push @{ $site->{pids} }, $pid;
    close $write_out;
    close $read_in;
    return bless {
        site => $site, pid => $pid, in => $in, out => $out, columns => $columns, raw => '', lines => [''],
        row => 0, column => 0, widest => 0, strange => '', left => '',
    }, $class;
}

# Types, as a person would.
sub type {
    my ($self, $text) = @_;
    syswrite $self->{in}, $text;
}

# Reads what there is within so many seconds. False: nothing more comes.
sub read {
    my ($self, $seconds) = @_;
    return 0 if $self->{eof} || !IO::Select->new($self->{out})->can_read($seconds);
    my $n = sysread $self->{out}, my $bytes, 65536;
    if (!$n) {
        $self->{eof} = 1;
        return 0;
    }
    $self->{raw} .= $bytes;
    $self->draw($bytes);
    return 1;
}

# Waits until the screen, as text, matches; the text, or undef.
sub shows {
    my ($self, $pattern, $seconds) = @_;
    my $end = time + ($seconds // 30);
    while (1) {
        return $self->text if $self->text =~ $pattern;
        my $left = $end - time;
        return undef if $left <= 0;
        $self->read($left < 1 ? $left : 1) || !$self->{eof} || return $self->text =~ $pattern ? $self->text : undef;
    }
}

# Waits for the end; the exit status.
sub end {
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 60);
    $self->read(1) while !$self->{eof} && time < $end;
    my $ended = $self->{site}->ended($self->{pid}, 10) // croak "it does not end:\n" . $self->text;
    return $ended >> 8;
}

sub text    { return join "\n", @{ $_[0]{lines} } }
sub raw     { return $_[0]{raw} }
sub strange { return $_[0]{strange} }
sub widest  { return $_[0]{widest} }    # columns that any line ever had

sub draw {
    my ($self, $bytes) = @_;
    my $text = $self->{left} . $bytes;
    $self->{left} = '';
    # what is cut in two waits for the rest
    $self->{left} = $1 if $text =~ s/(\e(?:\[[0-9;]*)?|[\xc2-\xf4][\x80-\xbf]{0,2})\z//;
    $self->put($_) for Encode::decode('UTF-8', $text) =~ /(\e\[[0-9;]*[A-Za-z]|.)/gs;
}

sub put {
    my ($self, $piece) = @_;
    my $lines = $self->{lines};
    if    ($piece eq "\n") { push @$lines, '' if ++$self->{row} > $#$lines }
    elsif ($piece eq "\r") { $self->{column} = 0 }
    elsif ($piece =~ /^\e\[(\d*)A$/) { $self->{row} -= $1 || 1; $self->{row} = 0 if $self->{row} < 0 }
    elsif ($piece eq "\e[K") { substr($lines->[ $self->{row} ], $self->{column}) = '' if $self->{column} < length $lines->[ $self->{row} ] }
    elsif ($piece eq "\e[J") {
        substr($lines->[ $self->{row} ], $self->{column}) = '' if $self->{column} < length $lines->[ $self->{row} ];
        splice @$lines, $self->{row} + 1;
    }
    elsif ($piece =~ /^\e\[[0-9;]*m$/) { $self->{colours} = 1 }
    elsif ($piece =~ /^[[:cntrl:]]/) { $self->{strange} .= $piece }
    else {
        $lines->[ $self->{row} ] .= ' ' x ($self->{column} - length $lines->[ $self->{row} ])
            if length $lines->[ $self->{row} ] < $self->{column};
        substr($lines->[ $self->{row} ], $self->{column}, 1) = $piece;
        $self->{column}++;
        $self->{widest} = $self->{column} if $self->{column} > $self->{widest};
    }
}

sub colours { return $_[0]{colours} }

1;
