//! Pictures that belong to the lesson alone.

pub mod contact_sheet;
pub mod inside;
pub mod picture;
pub mod range_test;
pub mod step_timeline;
