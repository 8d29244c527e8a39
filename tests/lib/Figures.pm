package Figures;

# Medians and spreads of what was measured in several rounds, as text.
use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(median number spread);

sub median { my @s = sort { $a <=> $b } @_; return ($s[$#s / 2] + $s[@s / 2]) / 2 }

sub number {
    my ($n) = @_;
    return sprintf abs($n) >= 100 || $n == int $n ? '%.0f' : abs($n) >= 10 ? '%.1f' : '%.2f', $n;
}

# "MEDIAN (LEAST-MOST)", or the median alone where the others look the same.
sub spread {
    my @sorted = sort { $a <=> $b } @_;
    my ($least, $most) = map { number($_) } @sorted[0, -1];
    return number(median(@sorted)) . ($least eq $most ? '' : " ($least-$most)");
}

1;
