//! Screens: of the night of 2 December 2007, from hand-written facts and a fake clock; of many hosts; of some of them.

mod fleet;
mod live;
mod log;
pub(crate) mod night;
mod notices;
mod plan;
mod some_hosts;
mod status;
mod stream;
mod view;
