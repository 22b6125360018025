//! Files that follow the catalog.
//!
//! A template asks [`Query`]s of a [`Source`]; when all answers are there it is rendered, compared with the file, applied
//! safely, and its command is run. The same runner serves lobbyd's `[[template]]` blocks and `lobbyctl template`, which
//! stands in for consul-template. The language of templates is `lobby-template`; where answers come from over HTTP is
//! decided by the program.

pub mod answer;
pub mod apply;
pub mod child;
pub mod command;
pub mod config;
pub mod data;
pub mod functions;
mod glob;
pub mod manifest;
mod object;
pub mod query;
pub mod quiescence;
pub mod rate;
pub mod runner;
pub mod settings;
pub mod source;
pub mod stagger;
mod unit;

pub use answer::Answer;
pub use data::{Asked, Data};
pub use functions::{Pass, Programs, funcs};
pub use glob::Globs;
pub use query::Query;
pub use runner::{End, Order, RunError, Runner};
pub use settings::Settings;
pub use source::Source;
pub use unit::UnitError;
