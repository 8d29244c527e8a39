# A recipe (nginx/recipes/NAME) as `make run CONF=.. JOBS=.. PAGES=..` serves it, with jobs that a test may add to, and
# the environment that its node tests find it by.
package Recipe;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Leat;
use NodeTest;
use Test::More ();

my $top   = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{BUILD} || 'build';
$build = "$top/$build" unless $build =~ m{^/};

# start(NAME, conf => TEXT after that of the recipe, env => {..}): the server.
sub start {
    my ($name, %opt) = @_;
    my $recipe = "$top/nginx/recipes/$name";
    my $jobs   = tempdir('leat-XXXXXX', DIR => '/tmp', CLEANUP => 1);
    for my $file (glob "$recipe/jobs/*") {
        copy($file, $jobs) or die "$file: $!\n";
        chmod +(stat $file)[2] & 07777, "$jobs/" . basename($file);
    }
    return Leat->start(
        jobs => $jobs,
        conf => Leat::slurp("$recipe/leat.conf") . ($opt{conf} // ''),
        env  => {PAGES => "$recipe/pages", %{ $opt{env} // {} }},
    );
}

# test(FILE of tests/browser, NAME => SERVER.., VARIABLE => TEXT..): its node tests, each one here; then the servers stop.
sub test {
    my ($file, %what) = @_;
    my %environment = (NODE_MODULES => "$build/npm/node_modules", TZ => 'UTC');
    my @servers;
    for my $name (keys %what) {
        my $l = $what{$name};
        if (!ref $l) {
            $environment{$name} = $l;
            next;
        }
        push @servers, $l;
        @environment{"${name}_URL", "${name}_DIR", "${name}_JOBS"} = ($l->url, $l->{dir}, $l->jobs);
        $environment{"${name}_TOKEN"} = $l->leat(qw(token add --owner alice --scope), 'create,read')->{out};
    }
    if (-d "$environment{NODE_MODULES}/playwright-core") {
        node_test("$top/tests/browser/$file", $servers[0]{dir}, %environment);
    }
    else {
        Test::More::fail("playwright-core is in $environment{NODE_MODULES}: `make clients` installs it, and needs npm's registry");
    }
    $_->stop for @servers;
}

1;
