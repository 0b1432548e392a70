# Restarts this machine, and goes down with it: whoever asks after the next boot finds a record of another boot.
PATH=$PATH:/usr/sbin:/sbin
reboot
while :; do sleep 5; done
