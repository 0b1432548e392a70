//! One file per command.

pub mod alter;
pub mod amend;
pub mod attach;
pub mod check;
pub mod completions;
pub mod decide;
pub mod doctor;
pub mod drill;
pub mod engine;
pub mod exec;
pub mod explain;
pub mod go;
pub mod graph;
pub mod history;
pub mod keeper;
pub mod logs;
pub mod man;
pub mod new;
pub mod plan;
pub mod recover;
pub mod report;
pub mod resume;
pub mod runs;
pub mod schema;
pub mod status;
pub mod unlock;
