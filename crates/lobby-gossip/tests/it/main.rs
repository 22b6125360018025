//! Whole engines in virtual time: the gates of the gossip study, scenarios, and laws of the decoders.
//!
//! `LOBBY_SIM_SEED=7` replays one seed, `LOBBY_SIM_SEEDS=20` tries more of them; a failure prints its seed.

mod death;
mod forged;
mod gates;
mod gates_1000;
mod hostile;
mod laws;
mod plane;
mod random;
mod scenario;
mod seeds;
mod sim;
mod user;
