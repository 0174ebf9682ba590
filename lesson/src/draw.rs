//! Pictures that only the lesson needs.

pub mod contact_sheet;
pub mod inside;
pub mod picture;
pub mod range_test;
pub mod step_timeline;
