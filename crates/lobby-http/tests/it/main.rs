//! The HTTP side over a hand-made catalog: routes by `oneshot`, limits over real sockets.

mod doors;
mod fixture;
mod health;
mod lists;
mod metrics;
mod nodes;
mod prometheus;
mod sockets;
