//! Any datagrams, at any times, at a whole gossip engine without a key.
//!
//! The input's form, and what must hold after each step, stand in `lobby_fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lobby_fuzz::play_datagrams(bytes));
