//! The transport against real shells and a real sshd on loopback: every test over each of the two ways to hosts.
#![expect(clippy::duplicate_mod, reason = "the same tests, once for each way; `MEANS` is what differs")]

#[path = "."]
mod openssh {
    pub const MEANS: runbook::transport::Means = runbook::transport::Means::Openssh;

    mod basics;
    mod bed;
    mod cuts;
    mod faults;
    mod files;
    mod keeper;
    mod limits;
    mod records;
    mod speed;
}

#[path = "."]
mod native {
    pub const MEANS: runbook::transport::Means = runbook::transport::Means::Native;

    mod basics;
    mod bed;
    mod cuts;
    mod faults;
    mod files;
    mod limits;
    mod records;
    mod speed;
    mod ways;
}
