# Brings back what attempts replaced at RB_DEST, newest first: $2... are their names, $1 is the directory with their
# records. May be repeated, after nothing, half or all of it was done.
records=$1
shift
dir=${RB_DEST%/*}
base=${RB_DEST##*/}
back=${dir:-/}/.$base.runbook-back.$RB_ID
flush() { dd if=/dev/null of="$1" conv=notrunc,fsync 2>/dev/null || :; }
[ -n "$base" ] && [ "$base" != . ] && [ "$base" != .. ]
for attempt; do
  d=$records/$attempt
  if [ -e "$d/previous_at" ]; then
    IFS= read -r old <"$d/previous_at"
    case $old in "${dir:-/}/.$base.runbook-old."*) ;; *) echo "the record $d is damaged" >&2; exit 1 ;; esac
    if [ -e "$old" ] || [ -L "$old" ]; then
      rm -rf "$RB_DEST"
      mv "$old" "$RB_DEST"
    fi
  elif [ -e "$d/previous" ] || [ -L "$d/previous" ]; then
    rm -rf "$back"
    cp -pP "$d/previous" "$back"
    [ -L "$back" ] || flush "$back"
    mv -f "$back" "$RB_DEST"
  elif [ -e "$d/absent" ]; then
    rm -rf "$RB_DEST"
  fi
done
