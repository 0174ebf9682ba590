//! Studies as people run them: processes that are killed, parts on several machines, reports without an
//! adapter, wrong flags. A tiny chapter represents the nine.

mod estimate;
mod files;
mod flags;
mod kills;
mod process;
mod reports;
mod settings;
mod shards;
mod tiny;
