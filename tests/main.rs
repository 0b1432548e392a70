//! One test binary: what it tests is listed here.

mod architecture;
mod driver;
mod engine;
mod journal;
mod lab;
<<<<<<< HEAD
mod screens;
=======
mod licences;
>>>>>>> lab
