//! Training on a folder of photos: the common code of the commands `train` and `find-lr`.
//!
//! | what | where |
//! |---|---|
//! | the flags of the command line | [`recipe`] |
//! | the photos, their split, and their list | [`data`], [`manifest`] |
//! | weights to start from | [`start`] |
//! | settings that no flag sets, chosen from the data | [`choices`] |
//! | the run's folder, claimed by one process | [`folder`], [`claim`], [`metrics`] |
//! | a run, begun or resumed, trained and reported | [`job`], [`report`] |
//! | the run's model: the fine-tuned one or the probe | [`settle`] |
//! | the photos to look at, as a page and a table | [`review`] |
//! | metrics for TensorBoard | [`tensorboard`] |
//! | a run within a time budget | [`budget`] |
//! | the model card | [`card`] |
//! | Ctrl-C | [`interrupt`] |

pub(crate) mod budget;
pub(crate) mod card;
pub(crate) mod choices;
pub(crate) mod claim;
pub(crate) mod data;
pub(crate) mod folder;
pub(crate) mod interrupt;
pub(crate) mod job;
pub(crate) mod manifest;
pub(crate) mod metrics;
pub(crate) mod recipe;
pub(crate) mod report;
pub(crate) mod review;
pub(crate) mod settle;
pub(crate) mod start;
pub(crate) mod tensorboard;
