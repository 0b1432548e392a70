//! What several test modules need: private sshds, proxies, and where messages arrive.

pub mod farm;
pub mod proxy;
pub mod room;
pub mod sshd;
