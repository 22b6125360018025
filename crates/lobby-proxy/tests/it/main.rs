//! The local proxy against real programs: an HAProxy and an nginx of the system, a dnsmasq, moto, on loopback. One binary, so
//! that they are linked once.

mod examples;
mod fetch;
mod haproxy_text;
mod nginx;
mod runtime;
mod watch;
