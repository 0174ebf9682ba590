//! Studies: what repeated runs say about a claim.
//!
//! | what | where |
//! |---|---|
//! | from differences between runs to a verdict | [`judge`] |

pub mod judge;
