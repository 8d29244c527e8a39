# The dashboard in Chromium, as make run serves it. What it shows is checked by node's own tests in dashboard.mjs;
# here are the servers for them: behind nginx for all, behind Apache for those that its ways may matter to.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Leat;
use NodeTest;
use Test::More;

my $top   = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{BUILD} || 'build';
$build = "$top/$build" unless $build =~ m{^/};

# One in which whoever comes is an admin, and one that wants a token and whose streams end all the time.
sub servers {
    my ($name) = @_;
    my %server = (
        OPEN   => Leat->start(server => $name),
        CLOSED => Leat->start(server => $name, conf => "[auth]\nanonymous =\n[stream]\nstream_seconds = 2\n[log]\nlevel = debug\n"),
    );
    give_jobs($_) for values %server;
    return %server;
}

sub give_jobs {
    my ($l) = @_;

    # goes one step on for each file that it finds in the folder that its input names: 1 to 10
    $l->job(walk => <<'JOB');
#!/bin/sh
dir=$(cat)
i=0
while [ $i -lt 10 ]; do
    i=$((i + 1))
    while [ ! -e "$dir/$i" ]; do sleep 0.02; done
    echo "$((i * 10)) step $i of 10" >&3
    echo "walked to $i" >&2
done
echo '{"walked":10}'
JOB
    # all that it says is markup, and would run where it is taken for that
    $l->job(hostile => <<'JOB' =~ s{PICTURE}{$l->{dir}/picture.png}r);
#!/bin/sh
bad='<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
echo "50 $bad" >&3
echo '{"type":"doc.created","payload":{"<b>key</b>":"<img src=x onerror=window.hacked=1>"}}' >&3
echo '{"log":"\u001b[35m<i>from descriptor 3"}' >&3
printf '\033[31mred\033[0m \033[1;44mon blue\033[0m \033]0;title\007\033[2J<i>markup</i> \033[38;2;10;250;10mgreen <img src=x onerror="window.hacked=1">\n' >&2
echo "$bad" >&2
echo "$bad" >"$LEAT_FILES/<img src=x onerror=hacked=1>.txt"
echo "$bad" >"$LEAT_FILES/page.html"
cp PICTURE "$LEAT_FILES/picture.png"
echo "$bad"
JOB
    # more lines than fit; the last one comes when somebody asks for it
    $l->job(many => "#!/bin/sh\nseq 300 >&2\nread -r gate\nwhile [ ! -e \"\$gate\" ]; do sleep 0.02; done\nseq 301 400 >&2\n");
    $l->job(fails => "#!/bin/sh\necho 'it does not work' >&2\nexit 65\n");
    Leat::write_file("$l->{dir}/picture.png", pack 'H*',    # one pixel
        '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63e02b99'
            . '000001a601139db137c90000000049454e44ae426082');
}

my $modules = "$build/npm/node_modules";
my @missing = grep { !-d "$modules/$_" } qw(playwright-core axe-core);
if (@missing) {
    fail "the npm packages @missing are in $modules: `make clients` installs them, and needs npm's registry";
    done_testing;
    exit;
}

for my $web ($ENV{SERVER} || qw(nginx apache)) {
    my %server      = servers($web);
    my %environment = (NODE_MODULES => $modules, TZ => 'UTC', WEB => $web, LEAT => "$build/leat");
    for my $name (keys %server) {
        my $l = $server{$name};
        $environment{"${name}_URL"}   = $l->url;
        $environment{"${name}_DIR"}   = $l->{dir};
        $environment{"${name}_TOKEN"} = $l->leat(qw(token add --owner alice --scope), 'create,read')->{out};
        $environment{"${name}_ADMIN"} = $l->leat(qw(token add --owner root --scope), 'create,read,admin')->{out};
    }
    node_test("$top/tests/browser/dashboard.mjs", $server{OPEN}{dir}, %environment);
    $_->stop for values %server;
}
done_testing;
