#!/usr/bin/perl
# multipart.pl FOLDER: takes a form of files (multipart/form-data, RFC 7578) on standard input apart, as a browser sends it. Each file is
# written to FOLDER as 1, 2, 3…, and a line is printed for each: its number, a tab, and the name that it had. Fields without a file are
# left out. In a job the boundary is in LEAT_CONTENT_TYPE. Exit status 65 (EX_DATAERR): this is no such form, or it is cut short.
use strict;
use warnings;

sub refuse {
    print STDERR "<3>@_\n";
    exit 65;
}

my ($folder) = @ARGV;
die "usage: multipart.pl FOLDER\n" unless defined $folder && -d $folder;
my ($boundary) = ($ENV{LEAT_CONTENT_TYPE} // '') =~ m{^multipart/form-data\s*;.*?\bboundary="?([^";\s]{1,70})}i
    or refuse('This is no form with files.');
binmode $_ for *STDIN, *STDOUT;

$/ = "\r\n";
(readline(*STDIN) // '') eq "--$boundary\r\n" or refuse('The form does not begin with its boundary.');
$/ = "\r\n--$boundary";
my $number = 0;
while (defined(my $part = readline *STDIN)) {
    chomp $part or refuse('The form is cut short.');
    my ($head, $body) = split /\r\n\r\n/, $part, 2;
    if (($head // '') =~ /^Content-Disposition:[^\r\n]*[;\s]filename="([^"\r\n]*)"/im && length $1) {
        my $name = $1 =~ s{.*[/\\]}{}r =~ s/%22/"/gr =~ s/[\0-\x1f\x7f]//gr;
        open my $out, '>:raw', "$folder/" . ++$number or die "$folder/$number: $!\n";
        print {$out} $body // '';
        close $out or die "$folder/$number: $!\n";
        print "$number\t$name\n";
    }
    read *STDIN, my $then, 2;
    exit 0 if $then eq '--';
    $then eq "\r\n" or refuse('The form is cut short.');
}
refuse('The form is cut short.');
