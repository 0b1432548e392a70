//! Screens of the night of 2 December 2007, from hand-written facts and a fake clock.

mod log;
mod night;
mod view;
