# Tasks that a test works on by itself, row by row, where a runner would be too quick or too free.
# What is between a row and a reader stays the same: the triggers write the events.
#
#     use ByHand;
#     my $t = by_hand($l, group => 'g');      # pending; no runner claims it
#     $t->run;
#     $t->progress(40, 'half');
#     $t->say('doc.created', {page => 1});
#     $t->finish('completed');
package ByHand;

use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use JSON::PP ();
use Time::HiRes qw(time);

our @EXPORT = qw(by_hand sql ring);

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my $made = 0;

# Runs STATEMENTS in one transaction and rings the bell. Gives the rows, each a reference to an
# array of text. The shell stands at the write lock as everybody does, and leaves checkpoints alone.
sub sql {
    my ($l, $statements) = @_;
    my $db = $l->state . '/leat.db';
    pipe my $in,  my $write or croak "pipe: $!";
    pipe my $out, my $said  or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<&', $in   or die;
        open STDOUT, '>&', $said or die;
        exec 'flock', "$db.lock", 'sqlite3', '-batch', '-bail', '-init', '/dev/null', '-list',
            '-separator', "\x1f", $db
            or POSIX::_exit(127);
    }
    close $in;
    close $said;
    print {$write} <<"EOT";
.output /dev/null
.timeout 5000
.dbconfig no_ckpt_on_close on
PRAGMA wal_autocheckpoint = 0;
BEGIN IMMEDIATE;
.output
$statements;
COMMIT;
EOT
    close $write;
    my @rows = map { chomp; [split /\x1f/, $_, -1] } <$out>;
    local $?;
    waitpid $pid, 0;
    croak "sqlite3: $statements" if $?;
    ring($l);
    return @rows;
}

# What every writer does after its commit.
sub ring {
    my ($l) = @_;
    open my $bell, '+<', $l->state . '/leat.db.bell' or croak "bell: $!";
    syswrite $bell, '!';
}

sub quote {
    my ($text) = @_;
    return 'NULL' unless defined $text;
    $text =~ s/'/''/g;
    return "'$text'";
}

sub now { return int(time * 1000) }

# A pending task, due in a far future. owner, group, type as given.
sub by_hand {
    my ($l, %opt) = @_;
    my $self = bless {l => $l}, __PACKAGE__;
    $self->{id} = sprintf '%012x', now();
    $self->{id} =~ s/^(.{8})/$1-/;
    $self->{id} .= sprintf '-7%03x-8%03x-%06x%06x', rand 4096, rand 4096, $$ % 2**24, ++$made;
    my ($id, $owner, $group, $type) =
        map { quote($_) } $self->{id}, $opt{owner} // 'anonymous', $opt{group}, $opt{type} // 'byhand';
    my $now = now();
    (my $row) = sql($l, <<"EOT");
INSERT INTO tasks (id, owner, type, group_id, request_id, run_at, created_at, updated_at)
VALUES ($id, $owner, $type, $group, 'by-hand', 4000000000000, $now, $now);
SELECT n FROM tasks WHERE id = $id
EOT
    $self->{n} = $row->[0];
    return $self;
}

sub id     { return $_[0]{id} }
sub path   { return "/api/tasks/$_[0]{id}" . ($_[1] // '') }
sub events { return $_[0]->path('/events') . (defined $_[1] ? "?$_[1]" : '') }

sub change {
    my ($self, $what) = @_;
    sql($self->{l}, "UPDATE tasks SET $what, updated_at = ${\now()} WHERE n = $self->{n}");
}

sub run { $_[0]->change("status = 'running', attempt = attempt + 1, run_at = NULL, started_at = ${\now()}") }

sub progress {
    my ($self, $percent, $message) = @_;
    $self->change("progress = $percent, message = " . quote($message));
}

sub finish {
    my ($self, $status) = @_;
    $self->change('status = ' . quote($status // 'completed') . ", completed_at = ${\now()}");
}

sub retry { $_[0]->change("status = 'pending', run_at = 4000000000000, completed_at = NULL") }

# One event, or COUNT of them in one transaction; {n} in the payload counts them from 1.
sub say {
    my ($self, $type, $payload, $count) = @_;
    my $data = quote($json->encode($payload // {}));
    $count //= 1;
    sql($self->{l}, <<"EOT");
WITH RECURSIVE many (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM many WHERE i < $count)
INSERT INTO task_says SELECT $self->{n}, ${\quote($type)}, ${\now()}, json_set($data, '\$.n', i) FROM many
EOT
}

1;
