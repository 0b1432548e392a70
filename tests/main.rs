

mod driver;
mod journal;
mod screens;
