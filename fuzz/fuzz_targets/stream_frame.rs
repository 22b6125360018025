//! Any frames, on streams that others opened to a whole gossip engine and on those that it opened.
//!
//! The input's form, and what must hold after each step, stand in `lobby_fuzz`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lobby_fuzz::play_frames(bytes));
