//! What several test modules need: private sshds, proxies, transports with their reports.

pub mod farm;
pub mod proxy;
pub mod sshd;
