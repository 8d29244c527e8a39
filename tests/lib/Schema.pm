# JSON Schema 2020-12, as much of it as our documents say. Core modules only.
#
#     my $s = Schema->new($document);                        # what a local $ref is looked up in
#     my @wrong = $s->check($data, {'$ref' => '#/components/schemas/Task'});
#
# Gives a line for each thing that is wrong, none when the data is as the schema says. A keyword that
# is not known here dies, so that nothing is passed over in silence. Stricter than the standard in one
# thing, which is what makes it a test of a document: a member that no schema names is wrong, where some
# schema names members of that object and none says additionalProperties.
#
# Data is what JSON::PP decodes.
package Schema;

use strict;
use warnings;
use B ();
use Carp qw(croak);
use JSON::PP ();

# say nothing about the data
my %silent = map { $_ => 1 } qw(description title example examples default format deprecated readOnly writeOnly $comment);

my $json = JSON::PP->new->utf8->allow_nonref->canonical;

sub new {
    my ($class, $document) = @_;
    return bless {document => $document}, $class;
}

# What a $ref (#/a/b) stands for.
sub resolve {
    my ($self, $ref) = @_;
    $ref =~ m{^#(/.*)?$} or croak "\$ref $ref: only local ones are understood";
    my $at = $self->{document};
    for my $step (grep { length } split m{/}, $1 // '') {
        $step =~ s/~1/\//g;
        $step =~ s/~0/~/g;
        $at = ref $at eq 'HASH' ? $at->{$step} : ref $at eq 'ARRAY' && $step =~ /^\d+$/ ? $at->[$step] : undef;
        defined $at or croak "\$ref $ref: there is no such thing";
    }
    return $at;
}

sub type_of {
    my ($data) = @_;
    return 'null'    if !defined $data;
    return 'object'  if ref $data eq 'HASH';
    return 'array'   if ref $data eq 'ARRAY';
    return 'boolean' if JSON::PP::is_bool($data);
    return 'number'  if ref $data;    # a big one
    my $flags = B::svref_2object(\$data)->FLAGS;
    return $flags & (B::SVp_IOK | B::SVp_NOK) && !($flags & B::SVp_POK) ? 'number' : 'string';
}

sub is_type {
    my ($data, $type) = @_;
    my $is = type_of($data);
    return $is eq $type || $type eq 'integer' && $is eq 'number' && $data == int $data;
}

sub same { return $json->encode($_[0]) eq $json->encode($_[1]) }

# All that is wrong with DATA, at PATH.
sub check {
    my ($self, $data, $schema, $path) = @_;
    $path //= '$';
    my (%named, @wrong);
    @wrong = $self->apply($data, $schema, $path, \%named);
    if (ref $data eq 'HASH' && $named{''} && !$named{'*'}) {
        push @wrong, "$path.$_: no schema names it" for grep { !$named{".$_"} } sort keys %$data;
    }
    return @wrong;
}

my %numbers = (
    minimum          => sub { $_[0] >= $_[1] },
    maximum          => sub { $_[0] <= $_[1] },
    exclusiveMinimum => sub { $_[0] > $_[1] },
    exclusiveMaximum => sub { $_[0] < $_[1] },
);

# One schema at one place. NAMED gathers what is said of members: ".name", "" for any, "*" for all.
sub apply {
    my ($self, $data, $schema, $path, $named) = @_;
    return $schema ? () : "$path: nothing may be here" if JSON::PP::is_bool($schema);
    ref $schema eq 'HASH' or croak "$path: a schema that is none";
    my @wrong;
    my $text = $data;    # to be shown: showing a number makes it a string as well
    for my $word (sort keys %$schema) {
        my $value = $schema->{$word};
        next if $silent{$word} || $word =~ /^x-/;
        if ($word eq '$ref') {
            push @wrong, $self->apply($data, $self->resolve($value), $path, $named);
        }
        elsif ($word eq 'type') {
            my @types = ref $value ? @$value : $value;
            push @wrong, "$path: " . type_of($data) . ", not @types" unless grep { is_type($data, $_) } @types;
        }
        elsif ($word eq 'enum') {
            push @wrong, "$path: " . $json->encode($data) . ' is not one of ' . $json->encode($value)
                unless grep { same($data, $_) } @$value;
        }
        elsif ($word eq 'const') {
            push @wrong, "$path: " . $json->encode($data) . ' is not ' . $json->encode($value) unless same($data, $value);
        }
        elsif ($word =~ /^(?:allOf|anyOf|oneOf)$/) {
            push @wrong, $self->apply_several($word, $data, $value, $path, $named);
        }
        elsif ($word eq 'required') {
            next unless ref $data eq 'HASH';
            push @wrong, "$path.$_: missing" for grep { !exists $data->{$_} } @$value;
        }
        elsif ($word eq 'properties') {
            next unless ref $data eq 'HASH';
            $named->{''} = 1;
            for my $name (sort keys %$value) {
                $named->{".$name"} = 1;
                push @wrong, $self->check($data->{$name}, $value->{$name}, "$path.$name") if exists $data->{$name};
            }
        }
        elsif ($word eq 'additionalProperties') {
            next unless ref $data eq 'HASH';
            $named->{'*'} = 1;
            push @wrong, $self->check($data->{$_}, $value, "$path.$_")
                for grep { !exists $schema->{properties}{$_} } sort keys %$data;
        }
        elsif ($word eq 'items') {
            next unless ref $data eq 'ARRAY';
            push @wrong, $self->check($data->[$_], $value, "$path\[$_]") for 0 .. $#$data;
        }
        elsif ($word eq 'minItems' || $word eq 'maxItems') {
            next unless ref $data eq 'ARRAY';
            push @wrong, "$path: " . @$data . " items, $word is $value"
                unless $word eq 'minItems' ? @$data >= $value : @$data <= $value;
        }
        elsif ($numbers{$word}) {
            push @wrong, "$path: $text, $word is $value" if type_of($data) eq 'number' && !$numbers{$word}->($data, $value);
        }
        elsif ($word eq 'pattern') {
            push @wrong, "$path: '$text' does not match $value" if type_of($data) eq 'string' && $data !~ /$value/;
        }
        elsif ($word eq 'minLength' || $word eq 'maxLength') {
            next unless type_of($data) eq 'string';
            my $length = length $data;
            push @wrong, "$path: $length characters, $word is $value"
                unless $word eq 'minLength' ? $length >= $value : $length <= $value;
        }
        else {
            croak "$path: the keyword '$word' is not understood";
        }
    }
    return @wrong;
}

# A branch is tried as a whole, with what is said of members in it; only those that fit count.
sub apply_several {
    my ($self, $word, $data, $branches, $path, $named) = @_;
    my (@wrong, @why, $fit);
    for my $i (0 .. $#$branches) {
        my %mine;
        my @said = $self->apply($data, $branches->[$i], $path, \%mine);
        if (@said) {
            push @wrong, @said;
            push @why, join '; ', map { "($i) $_" } @said > 3 ? @said[0 .. 2] : @said;
            next;
        }
        $fit++;
        $named->{$_} = 1 for keys %mine;
    }
    return @wrong if $word eq 'allOf';
    return if $fit && ($word eq 'anyOf' || $fit == 1);
    return "$path: $fit branches of oneOf fit" if $fit;
    return "$path: no branch of $word fits: " . join ' | ', @why;
}

1;
