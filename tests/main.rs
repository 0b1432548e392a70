//! One test binary: what it tests is listed here.

mod architecture;
mod driver;
mod engine;
mod journal;
mod lab;
mod licences;
mod screens;
