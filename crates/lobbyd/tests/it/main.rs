//! The real binaries against real servers. Every daemon is on free loopback ports with folders of its own.

mod access;
mod brokers;
mod catalog;
mod clients;
mod clone;
mod cluster;
mod consul;
mod ctl;
mod cut;
mod fleet;
mod full_disk;
mod go_peer;
mod hooks;
mod hostile;
mod hosts;
mod keys;
mod labels;
mod mixed;
mod process;
mod prometheus;
mod restart;
mod rolling;
mod run;
mod services;
mod unit_file;
mod verbs;
