# Leat. GNU make. Everything that is made lies under $(BUILD).
#
#   make            the programs
#   make run        a server on 127.0.0.1: PORT STATE JOBS CONF PAGES ADMIN SERVER
#   make test       every test; the last line is "N passed, N failed".  TESTS="FILE..." runs only those
#   make test-doors tests/web behind Apache (three ways) and lighttpd, too: `make test` has nginx and a chosen subset
#   make check      unit tests, the floors, and what is generated: in a minute, installs nothing
#   make lint       formatting, floors, two compilers, three analysers, the API's description
#   make bench      how fast it is here.  BENCH="NAME..." only those of tests/bench/run, ROUNDS=3 times each; PEERS=FOLDER
#                   beside others, in turns: see tests/bench/peers
#   make install    DESTDIR and GNU's prefix, bindir, sbindir, libdir, datadir, mandir ...
#   make deb        a Debian package
#   make dist-host  one archive to upload to a shared host
#
# A variant is a folder of its own: make BUILD=build/asan SANITIZE=address,undefined units

CC      ?= cc
AR      ?= ar
INSTALL ?= install
PREFIX  ?= /usr/local
VERSION  := 0.1.0
DESTDIR ?=

# 1: programs that need no library of the host: glibc and all others inside, without JWT and `user =`
STATIC   ?=
BUILD    ?= build$(if $(STATIC),/static)
# -fsanitize= list
SANITIZE ?=
# a folder that holds sqlite3.c and sqlite3.h, built in instead of the system's library
SQLITE_SRC ?=
WERROR   ?= $(CI)

PORT   ?= 8080
STATE  ?= build/state
JOBS   ?= lib/jobs
CONF   ?=
PAGES  ?=
ADMIN  ?= yes
SERVER ?= nginx
TESTS  ?=
# what the tests need; those of other doors skip without theirs
SERVERS = nginx apache apache-fcgid lighttpd

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wconversion
ifeq ($(SANITIZE),)
CFLAGS  ?= -O2 -g
HARDEN  ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong
else
CFLAGS  ?= -O1 -g
HARDEN  ?= -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
PIE_LD  := $(if $(STATIC),-static-pie,-pie) -Wl,-z,relro,-z,now -Wl,--as-needed

# pkg-config may be missing until `make run` has installed it: ask when the answer is needed, once
PKGS       = $(if $(SQLITE_SRC),,sqlite3) jansson inih libsodium $(JWT_PKG)
# libjwt, where there is one that we know; `make JWT_PKG=` builds without
JWT_PKG    = $(if $(STATIC),,$(eval JWT_PKG := $$(shell pkg-config --exists 'libjwt < 3' 2>/dev/null && echo libjwt))$(JWT_PKG))
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config $(if $(STATIC),--static) --libs $(PKGS) 2>/dev/null || \
               printf -- '-l%s ' $(patsubst lib%,%,$(PKGS))))$(PKG_LIBS)
LIBS       = -lfcgi $(PKG_LIBS) -lm

DEFINES     = -D_GNU_SOURCE -DLEAT_VERSION=\"$(VERSION)\" $(if $(JWT_PKG),-DLEAT_JWT) $(if $(STATIC),-DLEAT_STATIC)
ALL_CFLAGS  = -std=c11 $(DEFINES) $(WARN) $(if $(WERROR),-Werror) -fPIE $(HARDEN) \
              -Ilib -I$(BUILD) $(if $(SQLITE_SRC),-isystem $(SQLITE_SRC)) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(PIE_LD) $(filter -fsanitize=% -fstack-protector%,$(HARDEN)) $(CFLAGS) $(LDFLAGS)

# ---- what there is -------------------------------------------------------------------------------

LIB_SRC   := $(filter-out lib/runner/main.c,$(wildcard $(patsubst %,lib/%/*.c,base task store metrics ops render web server spawn runner)))
PAGES_SRC := $(filter-out cgi-bin/leat.c,$(wildcard cgi-bin/*.c))
CLI_SRC   := $(wildcard lib/cli/*.c)
UNIT_SRC  := $(wildcard tests/unit/*/*.c)
SYSTEM_SRC := $(wildcard tests/system/*/*.c)
SQL       := $(sort $(wildcard sql/query/*.sql sql/schema/*.sql))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

GEN_SQL   := $(addprefix $(BUILD)/gen/,query.h query.c schema.h schema.c)
GEN_API   := $(addprefix $(BUILD)/gen/,openapi.h openapi.c)
GEN       := $(GEN_SQL) $(GEN_API)
LIB_OBJ   := $(call obj,$(LIB_SRC)) $(addprefix $(BUILD)/obj/gen/,query.o schema.o openapi.o) \
             $(if $(SQLITE_SRC),$(BUILD)/obj/sqlite3.o)
PAGES_OBJ := $(call obj,$(PAGES_SRC))
LIBLEAT   := $(BUILD)/libleat.a
LIBPAGES  := $(BUILD)/libpages.a
PROGRAMS  := $(addprefix $(BUILD)/,leat.fcgi leatd supervise $(if $(CLI_SRC),leat))
UNITS     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
SYSTEMS   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(SYSTEM_SRC))

.PHONY: all units run check test lint bench install clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:
all: $(PROGRAMS) $(BUILD)/man/leat.conf.5
units: $(UNITS) $(SYSTEMS)

# ---- compile and link ----------------------------------------------------------------------------

$(BUILD)/leat.fcgi: $(call obj,cgi-bin/leat.c) $(LIBPAGES) $(LIBLEAT)
$(BUILD)/leatd: $(call obj,lib/runner/main.c) $(LIBLEAT)
$(BUILD)/leat: $(call obj,$(CLI_SRC)) $(LIBLEAT)
$(BUILD)/supervise: $(call obj,nginx/dev/supervise.c) $(LIBLEAT)
$(BUILD)/settings: $(call obj,lib/man/settings.c) $(LIBLEAT)
$(PROGRAMS) $(BUILD)/settings:
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

define link_test
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
endef
$(UNITS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(LIBPAGES) $(LIBLEAT)
	$(link_test)
$(SYSTEMS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(LIBPAGES) $(LIBLEAT)
	$(link_test)

$(LIBLEAT): $(LIB_OBJ)
$(LIBPAGES): $(PAGES_OBJ)
$(LIBLEAT) $(LIBPAGES): $(BUILD)/.sources
	@rm -f $@
	$(AR) rcs $@ $(filter %.o,$^)

# handlers see each other's headers; no lower floor sees theirs, and none of them stands for one of
# the system's
$(BUILD)/obj/cgi-bin/%.o $(BUILD)/obj/tests/unit/%.o: private ROOM = -idirafter cgi-bin

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags | $(GEN)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ROOM) -MMD -MP -c -o $@ $<

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/sqlite3.o: $(SQLITE_SRC)/sqlite3.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -w -fPIE $(HARDEN) $(CFLAGS) -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_THREADSAFE=1 -c -o $@ $<

# A file that says how things were made; rewritten only when that differs, so that another flag, a
# deleted source or a deleted query is noticed like an edit.
define remember
	@mkdir -p $(@D); printf '%s\n' '$(1)' >$@.new; cmp -s $@ $@.new && rm $@.new || mv $@.new $@
endef
$(BUILD)/.flags: FORCE
	$(call remember,$(CC) $(ALL_CFLAGS) | $(ALL_LDFLAGS) $(LIBS))
$(BUILD)/.sources: FORCE
	$(call remember,$(LIB_OBJ) | $(PAGES_OBJ))
$(BUILD)/.sql: FORCE
	$(call remember,$(SQL))

# embed.sh leaves a file alone that would not change, so a new query body does not recompile those
# who only call it
$(BUILD)/gen/.stamp: $(SQL) sql/embed.sh sql/functions.awk $(BUILD)/.sql
	sh sql/embed.sh sql $(@D)
	@touch $@
$(GEN_SQL): $(BUILD)/gen/.stamp
	@:

$(BUILD)/gen/.openapi: lib/web/openapi.json lib/web/openapi.sh
	sh lib/web/openapi.sh lib/web/openapi.json $(@D)
	@touch $@
$(GEN_API): $(BUILD)/gen/.openapi
	@:

# the table of settings writes its own manual page
$(BUILD)/man/%: lib/man/%.in $(BUILD)/settings
	@mkdir -p $(@D)
	$(BUILD)/settings mdoc <$< >$@

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(PAGES_OBJ) $(call obj,$(UNIT_SRC) $(SYSTEM_SRC) $(CLI_SRC) \
  cgi-bin/leat.c lib/runner/main.c lib/man/settings.c nginx/dev/supervise.c $(wildcard tests/bench/*.c)))

# ---- run, test -----------------------------------------------------------------------------------

# These begin by installing what is missing; then a second make, whose pkg-config exists. `exec`: a
# signal for make is a signal for what it runs.
NPROC   = $(shell nproc 2>/dev/null || echo 2)
submake = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(NPROC))

run:
	@nginx/dev/packages build run $(filter $(SERVERS) apache-cgi,$(SERVER))
	@+$(submake) all
	@exec env BUILD='$(BUILD)' PORT='$(PORT)' STATE='$(STATE)' JOBS='$(JOBS)' CONF='$(CONF)' \
	  SERVER='$(SERVER)' PAGES='$(PAGES)' ADMIN='$(ADMIN)' nginx/dev/run

# What is quick and needs only what the build needs: each unit test as it is, the floors, and that what was
# generated is what the same sources give now.
.PHONY: generated
generated: $(GEN)
CHECKED := $(BUILD)/checked
check: all units
	@for test in layers documents; do \
	  said=$$(BUILD='$(BUILD)' sh tests/$$test.sh 2>&1) || { echo "$$said" | grep -v '^ok'; exit 1; }; done
	@rm -rf $(CHECKED)
	+@$(submake) BUILD=$(CHECKED) generated >/dev/null
	@for file in $(GEN); do cmp $$file $(CHECKED)/gen/$${file##*/} || exit 1; done
	@printf '%s\n' $(UNITS) | xargs -P$(NPROC) -I{} sh -c \
	  'said=$$("$$1" 2>&1) || { printf "%s failed:\n%s\n" "$$1" "$$said"; exit 1; }' unit {}
	@echo 'check: $(words $(UNITS)) unit tests, the floors, the documents and the generated files are right'

test:
	@nginx/dev/packages build run $(SERVERS) test $(if $(BROWSER_TESTS),browser)
	@+$(submake) all units
	@+$(submake) BUILD=$(BUILD)/asan SANITIZE=address,undefined all units
	@$(if $(BROWSER_TESTS),+$(submake) clients || :) # a test that does not find them fails
	@exec env BUILD='$(BUILD)' tests/run $(TESTS)

# All of tests/web behind each of the other web servers; tests/lib/Doors.pm says what these make impossible.
DOORS := apache apache-fcgid apache-cgi lighttpd
.PHONY: test-doors
test-doors:
	@nginx/dev/packages build run $(SERVERS) test
	@+$(submake) all
	@failed=0; for server in $(DOORS); do echo "== $$server"; \
	  SERVER=$$server BUILD='$(BUILD)' tests/run $(or $(TESTS),$(filter-out tests/web/crowd.t tests/web/host.t,$(wildcard tests/web/*.t))) || failed=1; done; exit $$failed

# Clients from npm, as published; of these versions each, which node 18 can run.
NPM           := $(BUILD)/npm
NPM_CLIENTS   := eventsource@3.0.7 eventsource-parser@3.1.1 undici@6.29.1 playwright-core@1.60.0 axe-core@4.10.3
BROWSER_TESTS := $(if $(TESTS),$(filter tests/browser/%,$(TESTS:./%=%)),all)

# $(call npm-install,PACKAGE...): Debian has none of these
define npm-install
	@nginx/dev/packages npm || { echo 'npm: $(1): node and npm are needed, and cannot be installed' >&2; exit 69; }
	@mkdir -p $(NPM)
	npm install --prefix $(NPM) --no-fund --no-audit --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=2000 $(1) || \
	  { echo 'npm: $(1): could not be installed' >&2; exit 69; }
endef

.PHONY: clients
clients: $(NPM)/.clients
$(NPM)/.clients-wanted: FORCE
	$(call remember,$(NPM_CLIENTS))
$(NPM)/.clients: $(NPM)/.clients-wanted
	$(call npm-install,$(NPM_CLIENTS))
	@touch $@

bench:
	@nginx/dev/packages build run nginx test
	+@$(submake) all $(BENCHES)
	@exec env BUILD='$(BUILD)' ROUNDS='$(ROUNDS)' $(if $(PEERS),PEERS='$(PEERS)' CONTESTANTS='$(CONTESTANTS)' tests/bench/peers,tests/bench/run) $(BENCH)

BENCHES := $(addprefix $(BUILD)/bench/,create bulk e2e fanout resume latency spawn)
BENCH_OBJ := $(addprefix $(BUILD)/obj/tests/bench/,http.o publish.o took.o)
$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BENCH_OBJ) $(LIBLEAT)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# ---- lint ----------------------------------------------------------------------------------------

C_FILES  := $(sort $(wildcard lib/*/*.[ch] cgi-bin/*.[ch] nginx/dev/*.c tests/unit/*/*.[ch] tests/system/*/*.c tests/runner/*.c tests/bench/*.[ch]))
SH_FILES := sql/embed.sh lib/web/openapi.sh tests/layers.sh tests/embed.sh tests/documents.sh tests/bench/start nginx/dev/packages nginx/dev/run nginx/dev/install $(wildcard nginx/dev/*.sh) .ci/run lib/cli/leat.bash \
            $(filter-out %.conf %.pl,$(wildcard lib/jobs/* nginx/recipes/*/jobs/*))
PL_FILES := tests/run tests/bench/run tests/bench/peers $(wildcard tests/lib/*.pm tests/*/*.t nginx/recipes/*/jobs/*.pl)
ANALYSED  = $(filter lib/%.c cgi-bin/%.c nginx/%.c,$(C_FILES))
SPECTRAL  = $(NPM)/node_modules/.bin/spectral
SPECTRAL_PACKAGE := @stoplight/spectral-cli@6.16.3
LINTS    := $(addprefix lint-,format layers gcc clang cppcheck tidy shell perl openapi documents)

.PHONY: format lint-packages $(LINTS)
lint: $(LINTS)
$(LINTS): | lint-packages
lint-packages:
	@nginx/dev/packages build run nginx test lint

format: | lint-packages
	clang-format -i $(C_FILES)

lint-format:
	clang-format --dry-run -Werror $(C_FILES)
lint-layers:
	sh tests/layers.sh
lint-gcc lint-clang: lint-%:
	+@$(submake) CC=$* WERROR=1 BUILD=$(BUILD)/$* all units
lint-cppcheck: lint-gcc
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability -j$(NPROC) \
	  --library=posix --library=gnu --suppress=missingIncludeSystem --suppress=readdirCalled \
	  $(DEFINES) -D__GNUC__ -Ilib -Icgi-bin -I$(BUILD)/gcc $(ANALYSED)
lint-tidy: lint-clang
	printf '%s\n' $(ANALYSED) | xargs -P$(NPROC) -I{} sh -c 'clang-tidy --quiet "$$1" -- \
	  -std=c11 $(DEFINES) -Ilib -idirafter cgi-bin -I$(BUILD)/clang 2>/dev/null' tidy {} # stderr only counts
lint-shell:
	shellcheck $(SH_FILES)
lint-perl:
	for file in $(PL_FILES); do perl -Itests/lib -wc $$file || exit 1; done
lint-openapi: $(SPECTRAL)
	@printf 'extends: ["spectral:oas"]\n' >$(NPM)/ruleset.yaml
	$(SPECTRAL) lint --fail-severity=warn --ruleset $(NPM)/ruleset.yaml lib/web/openapi.json

lint-documents: $(BUILD)/settings $(BUILD)/man/leat.conf.5
	BUILD='$(BUILD)' sh tests/documents.sh

$(SPECTRAL): | lint-packages
	$(call npm-install,$(SPECTRAL_PACKAGE))

# ---- install -------------------------------------------------------------------------------------

# GNU's directory variables; those of systemd, whatever the prefix is, where it finds them
prefix         ?= $(PREFIX)
exec_prefix    ?= $(prefix)
bindir         ?= $(exec_prefix)/bin
sbindir        ?= $(exec_prefix)/sbin
libdir         ?= $(exec_prefix)/lib
datarootdir    ?= $(prefix)/share
datadir        ?= $(datarootdir)
mandir         ?= $(datarootdir)/man
systemdunitdir ?= $(prefix)/lib/systemd/system
sysusersdir    ?= $(prefix)/lib/sysusers.d
tmpfilesdir    ?= $(prefix)/lib/tmpfiles.d
PLACES := prefix bindir sbindir libdir datadir mandir systemdunitdir sysusersdir tmpfilesdir DESTDIR BUILD

install: all
	@env $(foreach place,$(PLACES),$(place)='$($(place))') nginx/dev/install

# A Debian package in $(BUILD)/deb, from nginx/debian, which is put where its tools want it.
.PHONY: deb
deb:
	@nginx/dev/packages build deb
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/leat-$(VERSION)
	@git ls-files -z | xargs -0 cp -P --parents -t $(BUILD)/deb/leat-$(VERSION)
	@mv $(BUILD)/deb/leat-$(VERSION)/nginx/debian $(BUILD)/deb/leat-$(VERSION)/debian
	cd $(BUILD)/deb/leat-$(VERSION) && env -u MAKEFLAGS -u MAKEOVERRIDES -u BUILD dpkg-buildpackage -us -uc -b
	@ls $(BUILD)/deb/*.deb

# The package in a root of its own, which is fetched anew: a few minutes, and only root can.
.PHONY: test-deb
test-deb: deb
	@nginx/dev/packages debroot
	BUILD='$(BUILD)' prove tests/package/deb.t

# One archive for a host without root, daemons or libraries; it is unpacked in a home folder (nginx/host/INSTALL.txt).
HOST      := $(BUILD)/host
HOST_NAME := leat-host-$(VERSION)-$(shell uname -m)
.PHONY: dist-host
dist-host:
	@nginx/dev/packages build
	+@$(submake) STATIC=1 BUILD='$(BUILD)/static' all
	@rm -rf '$(HOST)'
	@mkdir -p '$(HOST)/public_html/api' '$(HOST)/leat/jobs' && mkdir -m 700 '$(HOST)/leat/data'
	@$(INSTALL) -s -m 755 $(BUILD)/static/leat.fcgi $(BUILD)/static/leatd '$(HOST)/public_html/api/'
	@$(INSTALL) -s -m 755 $(BUILD)/static/leat '$(HOST)/leat/'
	@$(INSTALL) -m 644 nginx/host/htaccess '$(HOST)/public_html/api/.htaccess'
	@$(INSTALL) -m 600 nginx/host/leat.conf '$(HOST)/leat/'
	@$(INSTALL) -m 644 nginx/host/INSTALL.txt '$(HOST)/leat/'
	@for job in lib/jobs/*; do case $$job in *.conf) m=644;; *) m=755;; esac; \
	  $(INSTALL) -m $$m "$$job" '$(HOST)/leat/jobs/' || exit 1; done
	@chmod 755 '$(HOST)/public_html' '$(HOST)/public_html/api' '$(HOST)/leat' '$(HOST)/leat/jobs'
	@tar -C '$(HOST)' --owner=0 --group=0 -czf $(BUILD)/$(HOST_NAME).tar.gz public_html/api leat
	@echo '$(BUILD)/$(HOST_NAME).tar.gz'

clean:
	rm -rf $(BUILD)
