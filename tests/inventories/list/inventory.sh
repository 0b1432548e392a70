#!/bin/sh
# What an inventory program prints, in both the long and the short form of a group.
cat <<'END'
{
	"web": {"hosts": ["web1", "web2"], "vars": {"port": 80, "ratio": 1.5, "on": true, "none": null}},
	"db": ["db1"],
	"empty": {"hosts": []},
	"site": {"children": ["web", "db", "unheard"], "vars": {"text": "a\tb \"c\" \u00e9"}},
	"_meta": {"hostvars": {"web1": {"ansible_host": "192.0.2.1", "tags": ["x", "y"]}, "extra": {"alone": 1}}}
}
END
