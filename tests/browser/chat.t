# The recipe nginx/recipes/chat, in Chromium, behind nginx and behind Apache.
use strict;
use warnings;
use Recipe;

Recipe::test('chat.mjs', CHAT => Recipe::start('chat', env => {SERVER => $_})) for qw(nginx apache);
Test::More::done_testing();
