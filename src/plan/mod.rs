//! What the author wrote: text with places, the model, and every mistake in it at once. Knows nothing of time of day or hosts.
//!
//! Text becomes a [`model::Plan`] in three steps: [`tree`] reads YAML into nodes with places, [`raw`] reads the nodes into
//! typed keys (and is what the JSON Schema is made of), [`check`] resolves names and proves the rules between keys.
//! None of them stops at the first mistake.

pub mod check;
pub mod codes;
pub mod dates;
mod decode;
pub mod diagnostic;
pub mod digest;
pub mod draft;
pub mod injected;
pub mod inventory;
mod limits;
pub mod maintenance;
pub mod model;
mod project_file;
pub mod raw;
mod scalars;
pub mod schema;
mod shapes;
pub mod source;
pub mod span;
pub mod tree;
pub mod units;
pub mod waves;
mod words;

pub use diagnostic::fixed;
pub use digest::{digest, short_digest};
pub use draft::{
    Checked, CommandProblem, Draft, FileProblem, InventoryTexts, InventoryWish, Learnt, Outside, Places, Seen, Wanted,
    read_vars,
};
pub use limits::not_executable_yet;
pub use project_file::plan_from;
pub use words::nearest;
