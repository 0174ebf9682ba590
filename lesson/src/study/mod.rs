//! The harness of all chapters. A chapter is a study: runs that are compared. It says which runs it asks for,
//! what it claims, how one run is trained, and what to show of finished runs; the harness does the runs that
//! are missing, keeps each as soon as it has finished, and judges the claims.

mod chapter;
mod lab;
mod plan;
mod report;
mod trial;

pub use chapter::Chapter;
pub use lab::Lab;
pub use plan::Plan;
pub use report::Report;
pub use trial::Trial;
