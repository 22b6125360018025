//! The local proxy: HAProxy and nginx kept in step with where services are, without a lost request.
//!
//! ```text
//! watchers ──► backends of each service ──► picture ─┬─► haproxy: file, runtime API first, reload only for structure
//! lobby ec2     (defaults, port, filters,   (watch)  ├─► nginx: upstream files, -t, reload
//! docker dns     empty rule, guard)                  └─► file_output: one JSON file a service
//! consul multi
//! ```
//! Every output is level-triggered: it compares what should be with what is, and mends the difference. Nothing acts before a
//! service's source has answered once. Configurations are Lobby's own (`[proxy]`) and Synapse's; `nerve` is the other half:
//! checks of a server's own services, and reports of them.
//! Not here: HTTP (a program brings it, see [`fetch`]), the catalog, what is printed for people.

pub mod backend;
pub mod backends;
pub mod change;
pub mod config;
pub mod fetch;
pub mod file_output;
pub mod haproxy;
pub mod nerve;
pub mod nginx;
pub mod run;
pub mod settings;
pub mod shared;
pub mod synapse;
pub mod watcher;

pub use backend::{Backend, Found, Picture};
pub use run::Proxy;
pub use settings::Settings;
