//! The harness of all chapters. A chapter is a study: runs that are compared. It defines which runs it needs,
//! its claims, how one run is trained, and what to show of finished runs. The harness executes the missing
//! runs, stores each as soon as it has finished, and judges the claims.

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
