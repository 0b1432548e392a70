//! The transport against real shells and a real sshd on loopback.

mod basics;
mod bed;
mod faults;
mod files;
mod keeper;
mod limits;
mod records;
mod speed;
