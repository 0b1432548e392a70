# --test all transport::openssh::records::twenty_launches
# templates/remote/runner.sh
# Whoever is asked starts the attempt: neither the directory nor the pid file says that somebody else did.
s/^  mkdir -m 700 "$d" 2>\/dev\/null || { \[ -d "$d" \] || refuse "cannot create $d"; follow; exit 0; }/  mkdir -p -m 700 "$d"/
s/^  first "$d\/pid" "$p ${20} $boot $up" || exit 0/  echo "$p ${20} $boot $up end" >"$d\/pid"/
