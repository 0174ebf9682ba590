//! The chapters' images, networks and tasks, and how images are changed for them.

pub mod assets;
pub mod augmented;
pub mod fashion;
pub mod moved;
pub mod shift;
pub mod track;
