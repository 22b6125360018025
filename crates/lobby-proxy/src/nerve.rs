//! Nerve: services of this machine are checked, and reported while they are well. Decides nothing itself; here are the parts.
//!
//! ```text
//! file ─ config ─► Settings ─ run ─► one task a service (`watch`): checks ─ judge ─► up or down ─ rate ─► Report
//!                  (reload: new beside old)                                                             │
//!                                                                   registry of the agent, or lobbyd by /v1/hold
//! ```
//! What is down is taken out of the catalog, not shown as critical: that is what Nerve does, and what its users expect of a
//! list. Not here: a program's command line, signals, HTTP.

mod check;
mod config;
mod judge;
mod payload;
mod rate;
mod report;
mod run;
pub mod settings;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{parse, read};
pub use payload::Payload;
pub use report::{Agent, Hold, Noop, Report, ReportError, WhileHeld};
pub use run::run;
pub use settings::Settings;
