# The recipe nginx/recipes/chat, in Chromium.
use strict;
use warnings;
use Recipe;

Recipe::test('chat.mjs', CHAT => Recipe::start('chat'));
