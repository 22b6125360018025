//! The HTTP side over a hand-made catalog: routes by `oneshot`, limits over real sockets.

mod access;
mod ask;
mod coordinate;
mod doors;
mod events;
mod fixture;
mod gossip;
mod health;
mod keys;
mod lists;
mod members;
mod metrics;
mod nodes;
mod prometheus;
mod sockets;
mod streams;
mod tls;
mod verbs;
