# runbook: starts one attempt on this machine, or asks about one. POSIX sh and standard tools; works in dash, bash and
# busybox. This text is the same for every attempt; the attempt itself arrives on stdin, as lines up to "end NONCE", so
# that nothing of it shows in a process list and a request that was cut starts nothing. $R holds this text. One that has
# followed an attempt to a clean end takes another request: to start it anew costs a host more than an attempt does.
set -f
exec 6<&0

# One write, for output of the command goes the same way: bash writes as far as each newline.
say() { printf '@%s %s\n' "$N" "$*"; }
refuse() { say "refused $*"; exit 0; }
nap() { sleep "$1" 2>/dev/null || sleep 1; }
uptime() { read -r up rest </proc/uptime; }
# The boot of this machine. Where many pretend to be machines of their own, each names a file with its own.
booted() { read -r boot <"${RUNBOOK_BOOT_ID:-/proc/sys/kernel/random/boot_id}"; }

# State and start (ticks since boot) of process $1; false when there is none.
born() {
  { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  fields
  set -- $rest
  state=$1 start=${20}
}
# What follows the name in $stat, in $rest. The name may hold anything; looking for its end from behind is slow.
fields() {
  rest=${stat#*) }
  case $rest in *") "*) rest=${stat##*) } ;; esac
}
alive() { born "$1" && [ "$start" = "$2" ] && [ "$state" != Z ] && [ "$state" != X ]; }

# Creates file $1 with line $2, or fails when it exists: whoever creates it has decided.
first() {
  set -C
  { echo "$2 end" >"$1"; } 2>/dev/null
  set -- $?
  set +C
  return "$1"
}
# Reads the line of file $1 into $line, without its end mark; false when it is absent or torn.
whole() {
  line=
  { IFS= read -r line <"$1"; } 2>/dev/null
  case $line in *" end") line=${line% end} ;; *) return 1 ;; esac
}

# The records of all runs: a directory of ours that nobody else can look into. What is missing is made at once, for each
# program that is started costs more than all else here.
open_home() {
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  r=$h/runs/$run
  d=$r/$action.$try
  [ ! -e "$h" ] || check_home
  [ -d "$r/.epochs" ] || (umask 077; exec mkdir -p "$r/.epochs" "$h/locks") || refuse "cannot create $r"
  check_home
}
check_home() {
  [ -O "$h" ] || refuse "$h belongs to somebody else"
  [ ! -e "$h/runs" ] || { [ -O "$h/runs" ] && [ ! -L "$h/runs" ]; } || refuse "$h/runs belongs to somebody else"
}

# False when a later owner of the run has been here. In a folder of their own, because there may be thousands of records.
fence() {
  [ -e "$r/.epochs/$epoch" ] || : >"$r/.epochs/$epoch" || return 1
  set +f
  for f in "$r"/.epochs/*; do [ "${f##*/}" -le "$epoch" ] || { set -f; return 1; }; done
  set -f
}

# Keeps the first part of stdin in $d/$1 and a ring of the last part in $d/$1.N, and reads on whatever the disk does.
pump() {
  exec >/dev/null 5>&-
  o=$d/$1 to=$d/$1 seg=0 low=1 head=0 total=0 ring=0 gone=0 lines=0 sizes=
  while :; do
    # Longer pieces need fewer programs, which is what a flood waits for.
    if [ "$seg" = 0 ]; then n=$(((head_cap - head + 4095) / 4096)); else n=512; fi
    report=$(LC_ALL=C dd bs=4096 count="$n" 2>&1 >>"$to") || { cat >/dev/null; gone=-1; break; }
    # "N+M records in", "N+M records out", "BYTES ..."; a warning may stand before them.
    reads=${report%% records in*} bytes=${report#* records out?}
    reads=${reads##*[!0-9+]} bytes=${bytes%%[!0-9]*}
    total=$((total + bytes))
    if [ "$seg" = 0 ]; then head=$((head + bytes)); else ring=$((ring + bytes)) sizes="$sizes $bytes"; fi
    while set -- $sizes && [ $# -gt 1 ] && [ $((ring - $1)) -ge "$tail_cap" ]; do
      lines=$((lines + $(wc -l <"$o.$low"))) ring=$((ring - $1)) gone=$((gone + $1))
      rm -f "$o.$low"
      low=$((low + 1)) sizes="${sizes# "$1"}"
    done
    [ $((${reads%+*} + ${reads#*+})) -lt "$n" ] && break
    if [ "$seg" != 0 ] || [ "$head" -ge "$head_cap" ]; then seg=$((seg + 1)) to=$o.$seg; fi
  done
  echo "$total $head $low $seg $gone $lines end" >"$o.end"
}

# Becomes the command, in a session of its own. Its pid, start and boot are on disk before it executes anything, in a
# file that can be created only once: that makes a start unique, and a non-start provable.
become() {
  exec 4>&- 5>&- 6<&-
  IFS= read -r stat </proc/self/stat
  p=${stat%% *}
  fields
  set -- $rest
  booted
  uptime
  first "$d/pid" "$p ${20} $boot $up" || exit 0
  dd if=/dev/null of="$d/pid" conv=notrunc,fsync 2>/dev/null
  RUNBOOK_OUTPUT=$d/output RUNBOOK_COOKIE=$cookie
  export RUNBOOK_OUTPUT RUNBOOK_COOKIE
  eval "$environment"
  [ -z "$dir" ] || cd -- "$dir" || exit 126
  eval "$command"
}

# How the command ended. Shells say so when it was a signal, with which a plain exit code above 128 is told apart; except
# bash, which is silent here (and but for the signals of ^C and of a closed pipe). Another process may be ending it just now (the file `ending`): then that one records it.
record() {
  uptime
  [ -e "$d/ending" ] && return
  if [ "$1" -gt 128 ] && [ "$1" -lt 193 ] &&
    { [ -s "$d/sig" ] || [ -n "${BASH_VERSION-}" ] || [ "$1" = 130 ] || [ "$1" = 141 ]; }; then
    first "$d/rc" "signal $(($1 - 128)) $up"
  else
    first "$d/rc" "exit $1 $up"
  fi
}

# Executes the command between two pumps; descriptors 4 and 5 lead to them. Nobody here may hold the caller's streams,
# for what the command leaves behind can keep a pump open for ever.
work() {
  { { carry_out; } 4>&1 >/dev/null | pump err; } 5>&1 | pump out
}
# HUP tells the waiting runner that the outcome is there.
carry_out() {
  { (become >&5 2>&4); code=$?; } 2>"$d/sig"
  exec 4>&- 5>&-
  record "$code"
  whole "$d/ending"
  [ "${line%% *}" = timeout ] || [ -z "$timer" ] || kill -KILL "$timer"
  ! alive $$ "$mine" || kill -HUP $$
}

# Pids of what belongs to the command, in $found: its session and group, descendants, and what carries its cookie.
members() {
  found=' ' pairs=
  set +f
  for q in /proc/[0-9]*/stat; do
    { IFS= read -r stat <"$q"; } 2>/dev/null || continue
    id=${stat%% *}
    fields
    set -- $rest
    case $1 in Z | X) continue ;; esac
    [ "$id" = "$$" ] && continue
    pairs="$pairs $id:$2"
    [ -z "$leader" ] || { [ "$3" != "$leader" ] && [ "$4" != "$leader" ]; } || found="$found$id "
  done
  for q in $(LC_ALL=C grep -lsF "RUNBOOK_COOKIE=$cookie" /proc/[0-9]*/environ 2>/dev/null); do
    id=${q#/proc/}
    id=${id%/environ}
    case " $pairs" in *" $id:"*) case $found in *" $id "*) ;; *) found="$found$id " ;; esac ;; esac
  done
  set -f
  more=1
  while [ -n "$more" ]; do
    more=
    for q in $pairs; do
      case $found in *" ${q%:*} "*) continue ;; esac
      case $found in *" ${q#*:} "*) found="$found${q%:*} " more=1 ;; esac
    done
  done
  [ "$found" != ' ' ]
}

# Ends the command's processes: TERM, grace, KILL; then looks three times more. What is left is named in $left.
sweep() {
  leader=
  if whole "$d/pid"; then
    set -- $line
    # A process of that pid with another start is a stranger, and so are its group and session.
    if [ "$1" != void ] && { ! born "$1" || [ "$start" = "$2" ]; }; then leader=$1; fi
  fi
  if [ -e "$d/as" ]; then
    # The command belongs to somebody else, who alone can end it.
    read -r as <"$d/as"
    left=$(printf '%s\n' "$N" "mode=sweep_for_owner grace=$grace cookie='$cookie' leader=$leader" "end $N" |
      sudo $as sh -c "$R" 2>/dev/null)
    case $left in
      none) left= ;;
      '') left=' (sudo refused to look)' ;;
    esac
  else
    end_members
  fi
}

sweep_for_owner() {
  end_members
  echo "${left:-none}"
}

end_members() {
  left=
  uptime
  until=$((${up%.*} + grace))
  with=TERM quiet=0 warned=
  while [ "$quiet" -lt 3 ]; do
    if members; then
      quiet=0
      uptime
      [ "$with" != KILL ] || [ "${up%.*}" -lt $((until + 5)) ] || break
      [ "${up%.*}" -lt "$until" ] || with=KILL
      if [ "$with" = KILL ]; then
        kill -KILL $found
      else
        for id in $found; do
          case $warned in *" $id "*) ;; *) kill -TERM "$id"; warned="$warned $id " ;; esac
        done
      fi 2>/dev/null
      nap 0.05
    else
      quiet=$((quiet + 1))
      [ "$quiet" = 3 ] || nap 0.3
    fi
  done
  [ "$quiet" != 3 ] || return 0
  for id in $found; do { read -r name <"/proc/$id/comm"; } 2>/dev/null && left="$left $id($name)"; done
}

# Ends the attempt because of $1 (`timeout` or `cancel`), unless it has ended or somebody else is at it.
finish() {
  born $$
  first "$d/ending" "$1 $$ $start" || return
  sweep
  uptime
  if [ -z "$left" ]; then first "$d/rc" "$1 0 $up"; else first "$d/rc" "survivors $up$left"; fi
}

# What the caller needs to know of the end: outcome, sizes, outputs. Small output that nobody has seen goes along.
# Where nothing of the attempt is left here, $next says that another request is awaited, and how stderr ends.
trailer() {
  rc= pid= o= e= next=
  whole "$d/rc" && rc=$line
  whole "$d/pid" && pid=$line
  whole "$d/out.end" && o=$line
  whole "$d/err.end" && e=$line
  if [ -z "$shown" ] && [ -n "$rc" ]; then
    set -- ${o:-x}
    if [ "$1" != 0 ] && [ -s "$d/out" ] && [ "${1%x}0" -le 655360 ]; then say stdout; tail -c +$((from_out + 1)) "$d/out"; fi
    set -- ${e:-x}
    if [ "$1" != 0 ] && [ -s "$d/err" ] && [ "${1%x}0" -le 655360 ]; then say stderr >&2; tail -c +$((from_err + 1)) "$d/err" >&2; fi
  fi
  [ ! -s "$d/output" ] || { say outputs; head -c 65536 "$d/output"; }
  if [ -n "$done" ] && [ -n "$rc" ] && [ -n "$o" ] && [ -n "$e" ] && [ -z "$detached" ]; then
    next=now
    case $shown$e in 0*) ;; *) next=marked ;; esac
  fi
  booted
  say "done rc=$rc;pid=$pid;out=$o;err=$e;next=$next;boot=$boot;"
  [ "$next" != marked ] || say next >&2
}

# Sends the output as it comes, from the bytes that the caller has already.
show() {
  [ -z "$shown" ] || return
  shown=1
  say stdout
  tail -c +$((from_out + 1)) -f "$d/out" 2>/dev/null 6<&- &
  tails=$!
  say stderr >&2
  tail -c +$((from_err + 1)) -f "$d/err" >&2 2>/dev/null 6<&- &
  tails="$tails $!"
}
# KILL, here and for the timer: a TERM that comes between fork and exec would meet our own handler and be lost.
hide() {
  [ -z "$tails" ] || { kill -KILL $tails; wait $tails; } 2>/dev/null || :
  tails=
}

# Turns lines on stdin into USR1 and its end into USR2.
listen() {
  (
    exec <&6 >/dev/null 2>&1
    while IFS= read -r l; do kill -USR1 $$ || exit; done
    kill -USR2 $$
  ) &
  ear=$!
}

# Takes the file that follows the request.
receive() {
  head -c "$payload" <&6 >"$d/payload" || return 1
  x=$({ sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } <"$d/payload" 2>/dev/null)
  case $x in "$payload_sha256"*) ;; *) return 1 ;; esac
}

launch() {
  open_home
  command -v setsid >/dev/null || refuse "the host has no setsid"
  fence || refuse "the run has a later owner"
  mkdir -m 700 "$d" 2>/dev/null || { [ -d "$d" ] || refuse "cannot create $d"; follow; exit 0; }
  [ -n "$mine" ] || { born $$; mine=$start; }
  echo "$$ $mine end" >"$d/sup" || refuse "cannot write to $d"
  : >"$d/out"; : >"$d/err"
  if ! fence; then first "$d/pid" void; refuse "the run has a later owner"; fi
  if ! printf '%s' "$script" >"$d/cmd"; then first "$d/pid" void; refuse "cannot write to $d"; fi
  [ -z "$as" ] || echo "$as" >"$d/as"
  if [ "$payload" != 0 ] && ! receive; then
    first "$d/pid" void
    first "$d/rc" never
    refuse "the file did not arrive whole"
  fi
  say launched
  go= gone= told= done=
  trap 'go=1' USR1
  trap 'gone=1' USR2
  trap : HUP INT TERM
  timer=
  [ -z "$timeout" ] || { sleep "$timeout" </dev/null >/dev/null 2>&1 6<&- & timer=$!; }
  # By exec, because shells keep copies of what a redirected function would have to get back. Not the pipeline itself:
  # bash may wait for ever for one in the background.
  (exec </dev/null >/dev/null 2>&1 6<&-; work) &
  job=$!
  listen
  attend
  # It must have heard the last of what is meant for it.
  { kill -KILL "$ear"; wait "$ear"; } 2>/dev/null
  hide
  trailer
  [ -n "$next" ] || exit 0
}

# Waits for the command and its pumps, enforces the limit, and shows the output when asked.
attend() {
  waits=${timer:-$job}
  while :; do
    wait "$waits" 2>/dev/null
    code=$?
    # A trapped signal ends the waiting too, and so does, for ever after, a child that was killed.
    [ "$code" -lt 128 ] || kill -0 "$waits" 2>/dev/null || code=127
    [ -z "$go" ] || { go=; show; }
    [ -n "$told" ] || [ ! -s "$d/rc" ] || { told=1; say over; }
    [ -z "$gone" ] || { hide; gone=; detached=1; }
    [ -z "$detached" ] || [ ! -s "$d/rc" ] || break
    if [ "$waits" != "$job" ] && [ -s "$d/rc" ]; then
      waits=$job
      continue
    fi
    # Still there: it was only a signal that ended the waiting.
    [ "$code" = 127 ] || ! kill -0 "$waits" 2>/dev/null || continue
    [ "$waits" != "$job" ] || { done=1; break; }
    [ "$code" != 0 ] || [ -s "$d/rc" ] || finish timeout 2>/dev/null
    waits=$job
  done
  # Somebody else is ending it, and tells how when it is over.
  while [ ! -s "$d/rc" ] && whole "$d/ending"; do
    set -- $line
    alive "$2" "$3" || break
    nap 0.1
  done
}

# The resolution procedure. Sets $is to `ended`, `runs` or `wait`; what it finds undecided it decides.
look() {
  is=ended
  whole "$d/rc" && return
  booted
  if whole "$d/ending"; then set -- $line; if alive "$2" "$3"; then is=runs; return; fi; fi
  sup=
  if whole "$d/sup"; then set -- $line; if alive "$1" "$2"; then sup=1; fi; fi
  if ! whole "$d/pid"; then
    # Claimed, not started: the runner may be about to. After a while it loses the right to.
    is=wait
    [ -z "$sup" ] || [ "$patience" -gt 0 ] || { first "$d/pid" void; return; }
    [ -n "$sup" ] || [ "$patience" -gt 90 ] || first "$d/pid" void
    return
  fi
  set -- $line
  if [ "$1" = void ]; then first "$d/rc" never; return; fi
  is=runs
  [ "$3" != "$boot" ] || { ! alive "$1" "$2" && [ -z "$sup" ]; } || return 0
  whole "$d/rc" || { is=ended; first "$d/rc" interrupted; }
}

# Follows an attempt that somebody else started.
follow() {
  say found
  trap 'go=1' USR1
  trap 'hide; exit 0' USR2 TERM HUP INT
  listen
  patience=100 went=0
  while look; [ "$is" != ended ]; do
    if [ "$is" = runs ]; then
      [ -e "$d/out" ] && [ -e "$d/err" ] && { [ -n "$shown" ] || say runs; show; }
      whole "$d/ending" && [ -n "$ends" ] && { set -- $line; alive "$2" "$3" || { rm -f "$d/ending"; finish cancel 2>/dev/null; }; }
    fi
    patience=$((patience - 1)) went=$((went + 1))
    if [ "$went" -lt 20 ]; then nap 0.05; else nap 0.25; fi
  done
  # The pumps may still be writing what the command left behind.
  went=0
  while [ "$went" -lt 20 ] && [ -e "$d/out" ] && { [ ! -s "$d/out.end" ] || [ ! -s "$d/err.end" ]; }; do
    went=$((went + 1))
    nap 0.05
  done
  kill -KILL "$ear" 2>/dev/null
  hide
  trailer
}

# What became of the attempt? One that this host does not know is made impossible.
ask() {
  open_home
  fence || refuse "the run has a later owner"
  if mkdir -m 700 "$d" 2>/dev/null; then
    first "$d/pid" void
    first "$d/rc" never
  fi
  follow
}

# Sends all that is kept of the output, from the bytes that the caller has already.
fetch() {
  open_home
  exec 3>&1
  for s in out err; do
    if [ "$s" = out ]; then from=$from_out; say stdout; else from=$from_err; exec >&2; say stderr; fi
    if whole "$d/$s.end"; then set -- $line; else set -- 0 0 1 0; fi
    low=$3 seg=$4 skip=$((from > $2 ? from - $2 : 0))
    [ ! -s "$d/$s" ] || tail -c +$((from + 1)) "$d/$s"
    [ "$seg" = 0 ] || while [ "$low" -le "$seg" ]; do cat "$d/$s.$low"; low=$((low + 1)); done | tail -c +$((skip + 1))
  done
  exec >&3
  say fetched
}

end_it() {
  open_home
  fence || refuse "the run has a later owner"
  if mkdir -m 700 "$d" 2>/dev/null; then
    first "$d/pid" void
    first "$d/rc" never
  fi
  first "$d/pid" void
  ends=1
  whole "$d/rc" || (exec </dev/null >/dev/null 2>&1 6<&-; finish cancel) &
  follow
}

# The limit of an attempt that the keeper of this machine started.
time_out() {
  open_home
  [ -s "$d/rc" ] || finish timeout
}

# What this machine says of itself. Reads only; $users are names with `-` for root.
survey() {
  booted
  [ -z "$boot" ] || say boot "$boot $LOGNAME"
  say clock "$(date +%s.%N 2>/dev/null)"
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  at=$h
  while [ ! -e "$at" ] && [ -n "$at" ]; do at=${at%/*}; done
  say free "$(df -Pk "${at:-/}" 2>/dev/null | { read -r x; read -r x x x free x; echo "$free"; })"
  [ -w "${at:-/}" ] || say missing "write access to ${at:-/}"
  for x in setsid mkdir dd mv cp rm cat head tail sleep wc grep date df chmod; do command -v "$x" >/dev/null || say missing "$x"; done
  command -v sha256sum >/dev/null || command -v shasum >/dev/null || command -v openssl >/dev/null || say missing sha256sum
  [ -r /proc/self/stat ] && [ -r /proc/sys/kernel/random/boot_id ] || say missing /proc
  for x in $users; do
    as=
    [ "$x" = - ] || as="-u $x"
    sudo -n $as true </dev/null >/dev/null 2>&1 || say refused "$x"
  done
  set +f
  for x in "$h"/locks/*; do
    whole "$x" || continue
    case $line in "$run "*) ;; *) say locked "${x##*/}: ${line#* }" ;; esac
  done
  set -f
}

# Whether the process of that pid and start, left behind by an ended connection, is still there.
outlived() {
  ! alive $left_behind || say outlived
}

# Leaves a process behind, for `outlived` to look for.
leave() {
  setsid sleep 20 </dev/null >/dev/null 2>&1 6<&- &
  born $!
  say left "$! $start"
}

# Reads the lock of the plan into $line; whoever takes it needs a moment to write it. False when there is none to read.
read_lock() {
  looks=0
  until whole "$h/locks/$plan"; do
    looks=$((looks + 1))
    [ -e "$h/locks/$plan" ] && [ "$looks" -lt 40 ] || return 1
    nap 0.05
  done
}

# Takes the lock of a plan on this machine for the run. $holder says who holds it, in words.
lock() {
  open_home
  [ -d "$h/locks" ] || mkdir -m 700 "$h/locks" 2>/dev/null || [ -d "$h/locks" ] || refuse "cannot create $h/locks"
  tries=0
  until first "$h/locks/$plan" "$run $holder"; do
    if read_lock; then
      case $line in "$run "*) break ;; *) refuse "${line#* }" ;; esac
    fi
    # One that was given back meanwhile is free.
    tries=$((tries + 1))
    [ ! -e "$h/locks/$plan" ] && [ "$tries" -lt 3 ] || refuse "the lock $h/locks/$plan cannot be read"
  done
}

# Gives the lock back; one that is another run's stays.
unlock() {
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  if whole "$h/locks/$plan"; then
    case $line in "$run "*) rm -f "$h/locks/$plan" ;; *) refuse "${line#* }" ;; esac
  fi
}

# Who holds the lock of a plan here, and what of that run may still be at work: `$owner` and `$busy`.
held() {
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  owner= busy=
  read_lock || return 0
  owner=${line%% *}
  say held "$line"
  set +f
  for x in "$h/runs/$owner"/*; do
    [ -d "$x" ] && ! whole "$x/rc" || continue
    say open "${x##*/}"
    for y in pid sup; do
      whole "$x/$y" || continue
      set -- $line
      ! alive "$1" "$2" || { busy="$busy ${x##*/} (pid $1)"; say busy "${x##*/} (pid $1)"; break; }
    done
  done
  set -f
}

# What this machine remembers: the names of all runs, or the attempts of the run $of, with the time since boot at their
# start and end, and now.
remember() {
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  uptime
  say now "$up"
  set +f
  for x in "$h/runs/$of"*; do
    if [ -z "$of" ]; then [ ! -d "$x" ] || say run "${x##*/}"; continue; fi
    [ "${x##*/}" = "$of" ] || continue
    for y in "$x"/.epochs/*; do [ ! -e "$y" ] || say epoch "${y##*/}"; done
    for y in "$x"/*; do
      [ -d "$y" ] || continue
      say attempt "${y##*/}"
      ! whole "$y/pid" || say pid "$line"
      ! whole "$y/rc" || say rc "$line"
    done
  done
  set -f
}

# Takes the lock of a plan away from the run $from, of which nothing may be at work here any more.
take_away() {
  held
  [ -n "$owner" ] || return 0
  [ "$owner" = "$from" ] || refuse "another run holds it: $owner"
  [ -z "$busy" ] || refuse "still at work:$busy"
  rm -f "$h/locks/$plan" || refuse "$h/locks/$plan cannot be removed"
}

# Removes the run's records, unless something of it may still be running.
forget() {
  h=${home:-${RUNBOOK_HOME:-$HOME/.runbook}}
  r=$h/runs/$run
  set +f
  for x in "$r"/*; do [ ! -d "$x" ] || whole "$x/rc" || refuse "$x has not ended"; done
  for x in "$r"/*/previous_at; do
    { IFS= read -r old <"$x"; } 2>/dev/null || continue
    case $old in */.*.runbook-old.*) rm -rf "$old" ;; esac
  done
  set -f
  rm -rf "$r"
}

# Words to a listener that came too late, whole or in part, are no requests.
request() {
  while IFS= read -r N || exit 95; do
    case $N in show | how | ow | w | '') ;; *) break ;; esac
  done
  J=
  while :; do
    IFS= read -r l || exit 95
    [ "$l" = "end $N" ] && break
    J="$J$l
"
  done
}

mine=
while request; do
  tails= shown= from_out=0 from_err=0 detached= ends= patience=100
  eval "$J" || exit 95
  "$mode"
  case $mode in
    launch) ;;
    # Only so is the answer known to be whole.
    survey | outlived | lock | unlock | held | take_away | remember | forget) say next ;;
    *) exit 0 ;;
  esac
done
