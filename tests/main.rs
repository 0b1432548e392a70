//! One test binary: what it tests is listed here.

mod architecture;
mod lab;
mod licences;
