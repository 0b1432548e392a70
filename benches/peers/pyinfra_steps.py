# pyinfra: as many operations as BENCH_STEPS says, one after the other over all hosts.
import os
from pyinfra.operations import server
for step in range(int(os.environ["BENCH_STEPS"])):
    server.shell(name=f"step {step}", commands=["true"])
