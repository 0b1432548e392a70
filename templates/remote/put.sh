# Puts a file or directory in place: a complete copy beside the destination, the previous content kept in the record,
# then a rename. Nothing is followed through a symbolic link: a link at the destination is what gets replaced.
# Given: RB_DEST RB_KIND (file, directory) RB_SHA256 RB_MODE RB_OWNER (may be empty) RB_ID, record directory as $1.
d=$1
dir=${RB_DEST%/*}
base=${RB_DEST##*/}
new=${dir:-/}/.$base.runbook-new.$RB_ID
old=${dir:-/}/.$base.runbook-old.$RB_ID
fail() { echo "$*" >&2; exit 1; }
flush() { dd if=/dev/null of="$1" conv=notrunc,fsync 2>/dev/null || :; }
sum() { { sha256sum || shasum -a 256 || openssl dgst -sha256 -r; } <"$1" 2>/dev/null; }
[ -n "$base" ] && [ "$base" != . ] && [ "$base" != .. ] || fail "$RB_DEST names no file"
[ -d "${dir:-/}" ] || fail "the directory ${dir:-/} does not exist"
rm -rf "$new"
exists=
[ ! -e "$RB_DEST" ] && [ ! -L "$RB_DEST" ] || exists=1
if [ "$RB_KIND" = file ]; then
  [ ! -d "$RB_DEST" ] || [ -L "$RB_DEST" ] || fail "$RB_DEST is a directory"
  if [ -n "$exists" ] && [ ! -L "$RB_DEST" ]; then cp -p "$RB_DEST" "$new"; else (umask 022; : >"$new"; chmod 644 "$new"); fi
  cat "$d/payload" >"$new"
  case $(sum "$new") in "$RB_SHA256"*) ;; *) rm -f "$new"; fail "the copy on the host has another checksum" ;; esac
  [ -z "$RB_OWNER" ] || chown "$RB_OWNER" "$new" || { rm -f "$new"; exit 1; }
  [ -z "$RB_MODE" ] || chmod "$RB_MODE" "$new"
  flush "$new"
  if [ -n "$exists" ]; then
    [ -e "$d/previous" ] || [ -L "$d/previous" ] || { cp -pP "$RB_DEST" "$d/previous.tmp" && { [ -L "$d/previous.tmp" ] || flush "$d/previous.tmp"; } && mv "$d/previous.tmp" "$d/previous"; }
  else
    : >"$d/absent"
    flush "$d/absent"
  fi
else
  mkdir "$new"
  tar -xof "$d/payload" -C "$new"
  [ -z "$RB_OWNER" ] || chown -R "$RB_OWNER" "$new"
  [ -z "$RB_MODE" ] || chmod "$RB_MODE" "$new"
  if [ -n "$exists" ]; then
    printf '%s\n' "$old" >"$d/previous_at"
    flush "$d/previous_at"
    mv "$RB_DEST" "$old"
  else
    : >"$d/absent"
    flush "$d/absent"
  fi
fi
mv -f "$new" "$RB_DEST"
rm -f "$d/payload"
