//! What is told: pages, pictures, exports and comparisons made from record files, and from nothing else.
//!
//! The way of the data: [`load`] reads records and environments (of the run that [`latest`] finds, where none is named), [`rows`] puts each record into its place, [`summary`]
//! draws the conclusions ([`networks`] those on whole networks, [`winograd`] those of a study), [`page`] writes the folder (with [`pictures`], which [`draw`] draws, and
//! [`export`]), [`splice`] writes the table of a README, and [`compare`] holds two runs against each other.

#![forbid(unsafe_code)]

pub mod compare;
pub mod draw;
pub mod export;
pub mod gate;
pub mod keep;
pub mod latest;
pub mod load;
pub mod networks;
pub mod numbers;
pub mod output;
pub mod page;
pub mod pictures;
mod precision;
pub mod rows;
mod sections;
pub mod splice;
pub mod summary;
mod usable;
pub mod winograd;
