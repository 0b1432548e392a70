
mod driver;
mod journal;
