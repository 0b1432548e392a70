# fabric: argv = ssh configuration, hosts (with commas), steps. Each step waits for all hosts.
import sys
from fabric import Config, ThreadingGroup
hosts, steps = sys.argv[2].split(","), int(sys.argv[3])
group = ThreadingGroup(*hosts, config=Config(runtime_ssh_path=sys.argv[1]))
for step in range(steps):
    result = group.run("true", hide=True, in_stream=False)
    assert not result.failed, result.failed
group.close()
