//! Files that appear whole or not at all, and the natural order of their names.

mod order;
mod pending;

pub use order::natural_order;
pub use pending::*;
