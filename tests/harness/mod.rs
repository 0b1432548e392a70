//! What several test modules need: private sshds, proxies, transports with their reports.

pub mod sshd;
