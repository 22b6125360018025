//! What `template` needs around lobby-render's runner: an agent that answers, signals, a log and a dry run as consul-template
//! has them, and the file with the process' number.
//!
//! Not here: the order of all this (`cmd/template.rs`), flags and files of the configuration (`lobby_render::config`).

pub(crate) mod agent;
pub(crate) mod dry;
pub(crate) mod log;
pub(crate) mod pid_file;
pub(crate) mod signals;
