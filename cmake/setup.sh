# Shared by ./run and ./test: installs what is missing to build (Debian's apt) and builds a
# preset. Everything it says goes to stderr, one line a step that takes time; nothing here reads
# stdin, which belongs to the program that ./run starts.

say() { echo "sandquay: $*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    say "cannot install packages: neither root nor sudo. Run as root: apt-get install ${missing[*]}"
    return 1
  fi
}

# install_missing WHY PACKAGE=PROBE ...   a probe is a file, or a command's name
install_missing() {
  local why=$1 pair probe; shift
  missing=()
  for pair in "$@"; do
    probe=${pair#*=}
    case $probe in
      /*) compgen -G "$probe" >/dev/null || missing+=("${pair%%=*}") ;;
      *) command -v "$probe" >/dev/null || missing+=("${pair%%=*}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "missing $why: ${missing[*]} (Debian's package names). Install them and try again."
    return 1
  fi
  say "installing $why with apt-get: ${missing[*]}"
  local log; log=$(mktemp)
  if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
         as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
           --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    say "apt-get failed (above)"
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

setup_build_tools() {
  install_missing "what the build needs" gcc=gcc libc6-dev=/usr/include/stdio.h cmake=cmake \
    ninja-build=ninja libuv1-dev=/usr/include/uv.h libjsmn-dev=/usr/include/jsmn.h \
    'libcurl4-openssl-dev=/usr/include/*/curl/curl.h' libarchive-dev=/usr/include/archive.h \
    libwebsockets-dev=/usr/include/libwebsockets.h libssl-dev=/usr/include/openssl/ssl.h \
    libcjose-dev=/usr/include/cjose/cjose.h \
    libedit-dev=/usr/include/histedit.h
}

# The sandbox shows the machine's own /usr: python3 and node are there for the README's example.
setup_example_runtimes() {
  [ -z "${SANDQUAY_NO_RUNTIMES:-}" ] || return 0
  install_missing "python3 and node for use inside the sandbox" \
    'python3=/usr/bin/python3' 'nodejs=/usr/*bin/node' || true
}

# quietly LOG TEXT COMMAND...   what it prints goes to LOG; says TEXT when it takes over a second
quietly() {
  local log=$1 text=$2 never note rc=0; shift 2
  exec {never}<> <(:)
  (read -rt 1 -u "$never" || say "$text") 9>&- &
  note=$!
  "$@" </dev/null >"$log" 2>&1 9>&- || rc=$?
  kill "$note" 2>/dev/null
  wait "$note" 2>/dev/null
  exec {never}>&-
  return "$rc"
}

configure_preset() { (cd "$top" && cmake --preset "$@"); }

# build_preset NAME [CMAKE FLAGS]   quiet when nothing is to be done. With flags it is configured
# anew, which finds libraries that were installed since.
build_preset() {
  local preset=$1 dir=$top/build/$1 log=$top/build/$1.log; shift
  mkdir -p "$top/build"
  exec 9>"$top/build/.lock-$preset"
  flock 9
  if [ ! -e "$dir/build.ninja" ] || [ $# -gt 0 ]; then
    if ! quietly "$log" "configuring $preset" configure_preset "$preset" "$@"; then
      cat "$log" >&2
      say "configuring $preset failed (above)"
      return 1
    fi
  fi
  if ! quietly "$log" "building $preset (the first time: about half a minute)" ninja -C "$dir"; then
    cat "$log" >&2
    say "building $preset failed (above)"
    return 1
  fi
  exec 9>&-
}
